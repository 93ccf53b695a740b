"""The values that shape a run, as frozen dataclasses that refuse wrong ones with `UsageError`.

A field that a user can set is declared by `option`, once: its default, bounds, choices and help.
The flags of pytest, the keys of ini files, the flags of the shell and the table in the manual are
all read off these fields.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from energybench.rules import check, option

PRECISIONS = ("fp32", "tf32", "bf16")
"""Arithmetics, widest first."""
MEMORY_FORMATS = ("auto", "contiguous", "channels_last")
"""Layouts of feature maps in memory; "auto" depends on the arithmetic and the device."""
BUDGETS = ("early-stopping", "equal")
"""Lengths of a method's training: until it stops improving, or its baseline's epochs exactly."""
OBSERVED, CONFIDENT = "observed", "confident"
GATES = (OBSERVED, CONFIDENT)
"""What fails a cell: its drop as observed, or only one whose interval is beyond the tolerance."""
BAD_IMAGES = ("refuse", "skip")
"""Answers to files that are no images: end the run with their names, or record their names."""
VARY = ("order", "all")
"""What a seed changes: the order of the batches; or pretraining and splits as well."""
DEFAULT_JOURNAL = ".energybench/journal.jsonl"
"""File of finished cells, relative to the folder of the run."""


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
        "images, or blocks of text, per training step, on all processes together; `auto` finds, "
        "for each model and before anything is measured, the largest power of two that fits the "
        "device's free memory",
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
    cpu_watts: float | None = option(
        None,
        "watts of the processor at full load, for its estimate where nothing can be read; the "
        "source is then `declared_estimate`",
        default_text="CodeCarbon's",
        at_least=0.1,
        at_most=100_000,
    )
    ram_watts: float | None = option(
        None,
        "watts of the memory, for its estimate where nothing can be read; 0 leaves it out",
        default_text="CodeCarbon's",
        at_least=0,
        at_most=100_000,
    )
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
    busy_share: float = option(
        0.05,
        "share of the processors' time, 0 to 1, that other programs may use before a window is "
        "flagged `contaminated`",
        at_least=0,
        at_most=1,
    )
    quiet_s: float = option(
        0.0,
        "most seconds to wait before each cell until other programs are quiet; 0 to never wait",
        name="quiet",
        at_least=0,
        at_most=86_400,
    )
    retry: int = option(
        0,
        "most times to run a cell again whose fine-tuning was `contaminated` or `uneven`; the "
        "record keeps all attempts, and the last one counts",
        at_least=0,
        at_most=100,
    )
    trace: bool = option(False, "sample each cell's power once a second, into its record")

    def __post_init__(self) -> None:
        check(self)

    def told_to_meters(self) -> dict[str, Any]:
        """The fields that a meter may need when it is opened, by their names in `MeterContext`."""
        return {
            "replay": self.replay,
            "busy_share": self.busy_share,
            "cpu_watts": self.cpu_watts,
            "ram_watts": self.ram_watts,
        }


@dataclass(frozen=True)
class DataConfig:
    """How data sets are read."""

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
    block_length: int = option(
        128,
        "tokens per block of a text; batches are counted in blocks",
        at_least=2,
        at_most=1_000_000,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RunConfig:
    """All values that shape the results of a run, except the cell itself."""

    dataset: str = option(
        "handwriting",
        "`handwriting`, `digits`, `folder:PATH`, `imagenet:PATH`, `text` or `text:PATH`",
    )
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
    recalibrate_bn: bool = option(
        False,
        "estimate the statistics of batch norms anew after compressing, the baseline's too, by a "
        "pass over the training split whose energy counts as that of the search",
    )
    vary: str | None = option(
        None,
        "what a seed changes: the `order` of the batches, or `all`: pretraining and splits too, "
        "the same for all methods of a seed",
        choices=VARY,
        default_text="`all` where networks are pretrained on the data set itself, else `order`",
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
            "recalibrate_bn": self.recalibrate_bn,
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
        "methods to run, comma-separated; `a+b` composes: `lowrank+stego`; `stego@12`, `prune@0.5` "
        "give a setting instead of searching it",
        default_text="as marked",
    )
    seeds: int = option(1, "number of seeds per model and method", at_least=1, at_most=10_000)
    floor: int | None = option(
        None,
        "repeated baselines (`baseline-again`) per model and seed; they show how far two equal "
        "cells lie apart, the noise floor of every saving",
        default_text="as marked",
        at_least=0,
        at_most=100,
    )
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
    gate: str = option(
        OBSERVED,
        "what fails a cell: `observed`, a drop beyond the tolerance, or `confident`, only a drop "
        "whose 95 % interval is beyond it; the rest is reported as undecided",
        choices=GATES,
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
