"""The options of a run: `--energy-NAME` on pytest's command line, `energy_NAME` in an ini file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from energybench.config import DataConfig, FinetuneConfig, MeasureConfig, RunConfig
from energybench.energy.lock import InUse
from energybench.errors import EnergybenchError, UsageError
from energybench.records.journal import DEFAULT_PATH
from energybench.registry import DATASETS, METERS, MODELS, method_parts


@dataclass(frozen=True)
class Option:
    """One option; its text becomes a value by `parse`, which raises ValueError or UsageError."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    help: str

    @property
    def flag(self) -> str:
        """As on the command line."""
        return f"--energy-{self.name}"

    @property
    def key(self) -> str:
        """As in an ini file."""
        return f"energy_{self.name.replace('-', '_')}"


def _list_of(check: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(check(name.strip()) for name in text.split(",") if name.strip())
        if not names:
            raise UsageError("an empty list; name at least one")
        return names

    return parse


def _method(name: str) -> str:
    return "+".join(method_parts(name))


def _meter(name: str) -> str:
    return name if name == "auto" else METERS.check(name)


def _dataset(text: str) -> str:
    DATASETS.check(text.partition(":")[0])
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise UsageError(f"{number} is less than 1")
    return number


def _number_or_auto(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _yes_or_no(text: str) -> bool:
    answers = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in answers:
        raise UsageError(f"{text} is neither true nor false")
    return answers[text.lower()]


_DEFAULT = RunConfig()

OPTIONS = (
    Option("models", _list_of(MODELS.check), None, "models, comma-separated, instead of all"),
    Option(
        "methods",
        _list_of(_method),
        None,
        "methods, comma-separated, instead of all; + composes: lowrank+stego",
    ),
    Option("seeds", _positive, "1", "number of seeds per model and method"),
    Option("dataset", _dataset, _DEFAULT.dataset, "digits, folder:PATH or imagenet:PATH"),
    Option(
        "data-cache", str, None, "folder of decoded images, or off; default: in the user's cache"
    ),
    Option("bad-images", str, DataConfig().bad_images, "refuse files that are no images, or skip"),
    Option("weights", str, None, "checkpoint, or folder of MODEL.safetensors, to start from"),
    Option("device", str, _DEFAULT.device, "auto, cpu, cuda or cuda:N"),
    Option("precision", str, _DEFAULT.precision, "fp32, tf32 or bf16"),
    Option(
        "memory-format",
        str,
        _DEFAULT.memory_format,
        "auto, contiguous or channels_last: how feature maps lie in memory",
    ),
    Option("compile", _yes_or_no, "false", "train through torch.compile"),
    Option(
        "tolerance",
        float,
        f"{_DEFAULT.tolerance:g}",
        "largest accuracy drop against the baseline, in percentage points",
    ),
    Option("max-epochs", int, str(FinetuneConfig().max_epochs), "most epochs of a fine-tuning"),
    Option(
        "budget",
        str,
        FinetuneConfig().budget,
        "epochs of a method: early-stopping, or equal to its baseline's",
    ),
    Option(
        "batch-size",
        _number_or_auto,
        str(FinetuneConfig().batch_size),
        "images per training step; auto: the largest power of two that fits each model",
    ),
    Option(
        "world-size",
        _positive,
        "1",
        "processes that run each cell together, one per GPU; batches are split among them",
    ),
    Option("journal", str, str(DEFAULT_PATH), "file that each finished cell is added to, at once"),
    Option("resume", _yes_or_no, "false", "skip the cells that the journal has"),
    Option(
        "checkpoint",
        _yes_or_no,
        "false",
        "save each cell after every epoch, so that --energy-resume goes on within it",
    ),
    Option(
        "meter",
        _list_of(_meter),
        "auto",
        f"auto, or meters, comma-separated: {', '.join(METERS.builtin_names())}",
    ),
    Option("replay", str, None, "trace file of the replay meter"),
    Option(
        "pue",
        float,
        f"{MeasureConfig().pue:g}",
        "power usage effectiveness: facility energy / energy of the machine",
    ),
    Option("country", str, None, "ISO code (FRA, USA...) of the grid whose emissions to report"),
    Option(
        "idle",
        float,
        f"{MeasureConfig().idle_s:g}",
        "quiet seconds in which idle power is measured before the first cell; 0 for none",
    ),
    Option("trace", _yes_or_no, "false", "sample the power of each cell once a second"),
    Option("compare", str, None, "saved run, or id in .benchmarks/, to compare this one with"),
    Option("compare-fail", str, None, "how much worse is a failure: kwh:5%,accuracy:1pp"),
    Option("no-wait", _yes_or_no, "false", "fail when another measurement runs on this machine"),
)


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    models: tuple[str, ...] | None
    methods: tuple[str, ...] | None
    seeds: int
    wait: bool
    compare: str | None
    compare_fail: str | None
    journal: str
    resume: bool
    checkpoint: bool
    world_size: int
    run: RunConfig


def with_flag(error: EnergybenchError) -> str:
    """The message of `error`, and the option that keeps a session from waiting for the machine."""
    return f"{error} without --energy-no-wait" if isinstance(error, InUse) else str(error)


def read_options(text_of: Callable[[Option], str | None]) -> Options:
    """Parse every option; `text_of` gives its text, None where it is not set.

    Raises `UsageError` in one line that names the option.
    """
    values: dict[str, Any] = {}
    for option in OPTIONS:
        given = text_of(option)
        text = option.default if given is None else given
        try:
            values[option.name] = None if text is None else option.parse(text)
        except UsageError as error:
            raise UsageError(f"{option.flag}: {error}") from error
        except ValueError as error:
            raise UsageError(f"{option.flag}={text} is not a number; {option.help}") from error
    if "replay" in values["meter"] and values["replay"] is None:
        raise UsageError("--energy-meter=replay plays a trace; name it with --energy-replay=FILE")
    batch_size = values["batch-size"]
    return Options(
        models=values["models"],
        methods=values["methods"],
        seeds=values["seeds"],
        wait=not values["no-wait"],
        compare=values["compare"],
        compare_fail=values["compare-fail"],
        journal=values["journal"],
        resume=values["resume"],
        checkpoint=values["checkpoint"],
        world_size=values["world-size"],
        run=RunConfig(
            dataset=values["dataset"],
            data=DataConfig(values["data-cache"] or "", values["bad-images"]),
            weights=values["weights"],
            device=values["device"],
            precision=values["precision"],
            memory_format=values["memory-format"],
            compile=values["compile"],
            tolerance=values["tolerance"],
            largest_batch=batch_size is None,
            finetune=FinetuneConfig(
                max_epochs=values["max-epochs"],
                batch_size=FinetuneConfig().batch_size if batch_size is None else batch_size,
                budget=values["budget"],
            ),
            measure=MeasureConfig(
                meters=values["meter"],
                replay=values["replay"],
                pue=values["pue"],
                country=values["country"],
                idle_s=values["idle"],
                trace=values["trace"],
            ),
        ),
    )
