"""The values that shape a run, as frozen dataclasses that refuse wrong ones with `UsageError`.

A field that a user can set is declared by `option`, once: its default, bounds, choices and help.
The flags of pytest, the keys of ini files, the flags of the shell and the table in the manual are
all read off these fields.
"""

import math
import re
from dataclasses import KW_ONLY, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from energybench.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

PRECISIONS = ("fp32", "tf32", "bf16")
"""Arithmetics, widest first."""
MEMORY_FORMATS = ("auto", "contiguous", "channels_last")
"""Layouts of feature maps in memory; "auto" depends on the arithmetic and the device."""
BUDGETS = ("early-stopping", "equal")
"""Lengths of a method's training: until it stops improving, or its baseline's epochs exactly."""
BAD_IMAGES = ("refuse", "skip")
"""Answers to files that are no images: end the run with their names, or record their names."""
DEFAULT_JOURNAL = ".energybench/journal.jsonl"
"""File of finished cells, relative to the folder of the run."""


@dataclass(frozen=True)
class Rule:
    """The values that one option accepts, and the words that describe it."""

    help: str
    _: KW_ONLY
    name: str | None = None
    """The option's name where it differs from the field's: "idle" for `idle_s`."""
    default_text: str | None = None
    """The default in words, where its value says too little."""
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    """Regular expression that the whole text must match; the help then names the valid texts."""
    word: str | None = None
    """A text that is accepted in place of a number, for instance "auto"."""

    def problem(self, value: object) -> str | None:
        """Why `value` is refused, as "it must be at least 2"; None for a valid one."""
        if isinstance(value, str):
            return self._problem_of_text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._problem_of_number(value)
        return None

    def _problem_of_text(self, text: str) -> str | None:
        if not text.strip():
            return "give it a value, or leave it out"
        if self.choices and text not in self.choices:
            return f"known: {', '.join(self.choices)}"
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            return f"use {self.help.replace('`', '')}"
        return None

    def _problem_of_number(self, number: float) -> str | None:
        if self.at_least is not None and not number >= self.at_least:  # NaN is not, either
            return f"it must be at least {self.at_least:,.10g}"
        if self.at_most is not None and number > self.at_most:
            return f"it must be at most {self.at_most:,.10g}"
        return "it must be finite" if abs(number) == math.inf else None


def option(default: T, help: str, **rule: Any) -> T:
    """Declare a field of a dataclass as an option; `rule` has the other arguments of `Rule`."""
    made: T = field(default=default, metadata={"rule": Rule(help, **rule)})
    return made


def check(config: "DataclassInstance") -> None:
    """Raise `UsageError` for the first field of `config` whose value its rule refuses."""
    for one in fields(config):
        value = getattr(config, one.name)
        if "rule" not in one.metadata or value == one.default:
            continue
        problem = one.metadata["rule"].problem(value)
        if problem is not None:
            raise UsageError(f"{one.name} is {shown(value)}; {problem}")


def shown(value: object) -> str:
    """A refused value as an error cites it: short, and visible if it is empty."""
    text = str(value)
    return "empty" if not text.strip() else text if len(text) <= 100 else f"{text[:100]}..."


@dataclass(frozen=True)
class Cell:
    """One benchmark: model x method x seed."""

    model: str
    method: str
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.model}-{self.method}-seed{self.seed}"

    @property
    def reference(self) -> "Cell":
        """The baseline whose test result this cell's is compared with."""
        return Cell(self.model, "baseline", self.seed)


@dataclass(frozen=True)
class FinetuneConfig:
    """The training protocol of arXiv 2506.01311: SGD with early stopping."""

    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    patience: int = 3
    """Epochs in a row without an improvement of more than `min_delta` that end the training."""
    min_delta: float = 0.05
    max_epochs: int = option(50, "most epochs of one fine-tuning", at_least=1, at_most=1_000_000)
    batch_size: int = option(
        64,
        "images per training step, on all processes together; `auto` finds, for each model and "
        "before anything is measured, the largest power of two that fits the device's free memory",
        at_least=2,
        at_most=1_000_000,
        word="auto",
    )
    budget: str = option(
        "early-stopping",
        "length of a method's training: `early-stopping`, or `equal` for exactly its baseline's "
        "epochs",
        choices=BUDGETS,
    )
    """One of `BUDGETS`; the baseline itself always stops early."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MeasureConfig:
    """How energy is read and reported."""

    meters: tuple[str, ...] = option(
        ("auto",),
        "`auto`, or a comma-separated list of `nvml`, `rapl`, `zeus`, `codecarbon`, `replay`",
        name="meter",
    )
    replay: str | None = option(None, "trace file that the `replay` meter plays")
    pue: float = option(
        1.58,
        "power usage effectiveness: facility energy / energy of the machine; the default is the "
        "paper's",
        at_least=1,
        at_most=100,
    )
    country: str | None = option(
        None,
        "ISO 3166-1 alpha-3 code (FRA, USA) of the grid whose kg CO2e to report, by CodeCarbon's "
        "offline factors",
    )
    idle_s: float = option(
        5.0,
        "seconds for which idle power is measured before the first cell; 0 for none",
        name="idle",
        at_least=0,
        at_most=3600,
    )
    trace: bool = option(False, "sample each cell's power once a second, into its record")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class DataConfig:
    """How image folders are read."""

    cache: str = option(
        "",
        "folder of decoded images (`ENERGYBENCH_CACHE` moves the default), or `off` to decode "
        "images as they are read",
        name="data-cache",
        default_text="in the user's cache",
    )
    """Folder of decoded images; "" for the one in the user's cache, "off" for none."""
    bad_images: str = option(
        "refuse",
        "`refuse` files that are no images, all named at once, or `skip` them: the record names "
        "them and the fingerprint of the data changes",
        choices=BAD_IMAGES,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RunConfig:
    """All values that shape the results of a run, except the cell itself."""

    dataset: str = option("digits", "`digits`, `folder:PATH` or `imagenet:PATH`")
    data: DataConfig = field(default_factory=DataConfig)
    weights: str | None = option(
        None,
        "checkpoint to start from, or folder of `MODEL.safetensors` (or `.pth`)",
    )
    device: str = option(
        "auto", "`auto`, `cpu`, `cuda` or `cuda:N`", pattern=r"auto|cpu|cuda(:\d{1,4})?"
    )
    precision: str = option(
        "fp32", "arithmetic of training: `fp32`, `tf32` or `bf16`", choices=PRECISIONS
    )
    memory_format: str = option(
        "auto",
        "layout of feature maps in memory: `contiguous`, `channels_last`, or `auto` for channels "
        "last with tf32 and bf16 on a GPU",
        choices=MEMORY_FORMATS,
    )
    compile: bool = option(
        False,
        "train through `torch.compile`; compiling is a phase of its own, anew in every cell, and "
        "counts in `kwh_total`",
    )
    tolerance: float = option(
        1.0,
        "largest drop against the baseline, in the unit of the metric: percentage points of "
        "accuracy",
        at_least=0,
    )
    largest_batch: bool = False
    """Whether each model's batch size is the largest that fits, instead of `finetune`'s."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)

    def __post_init__(self) -> None:
        check(self)

    def protocol(self) -> dict[str, Any]:
        """The part of the configuration that a record keeps."""
        return {
            **asdict(self.finetune),
            "memory_format": self.memory_format,
            "compile": self.compile,
            "tolerance": self.tolerance,
            "pue": self.measure.pue,
        }


@dataclass(frozen=True)
class Options:
    """Everything that a user asks of one session: its cells, how they run, what is kept of them."""

    models: tuple[str, ...] | None = option(
        None, "models to run, comma-separated", default_text="as marked"
    )
    methods: tuple[str, ...] | None = option(
        None,
        "methods to run, comma-separated; `a+b` composes: `lowrank+stego`",
        default_text="as marked",
    )
    seeds: int = option(1, "number of seeds per model and method", at_least=1, at_most=10_000)
    run: RunConfig = field(default_factory=RunConfig)
    world_size: int = option(
        1,
        "processes that run each cell together, one per GPU; each batch is split among them",
        at_least=1,
        at_most=10_000,
    )
    executor: str = option(
        "auto",
        "hardware that runs the cells: `auto` for this process or its ranks, or an executor of "
        "another package, by name",
    )
    journal: str = option(DEFAULT_JOURNAL, "file that keeps each cell as soon as it is finished")
    resume: bool = option(False, "skip the cells that the journal has")
    checkpoint: bool = option(
        False, "save each cell after every epoch, so that `--energy-resume` continues within it"
    )
    compare: str | None = option(
        None, "saved run to compare this one with: a file, or an id in `.benchmarks/`"
    )
    compare_fail: str | None = option(
        None, "fail where this run is worse than the saved one by more: `kwh:5%,accuracy:1pp`"
    )
    no_wait: bool = option(
        False, "fail at once while another measurement runs on this machine, instead of waiting"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def wait(self) -> bool:
        """Whether to wait while another measurement runs on this machine."""
        return not self.no_wait
