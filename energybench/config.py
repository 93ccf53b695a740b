"""The values that shape a run, as frozen dataclasses that refuse wrong ones with `UsageError`.

Long, since every option of a run is declared here.

A field that a user can set is declared by `option`, once: its default, bounds, choices and help.
The flags of pytest, the keys of ini files, the flags of the shell and the table in the manual are
all read off these fields, and off those of `app.session_options`.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from energybench.errors import UsageError
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
CALL_COLUMNS = (*("joules", "interval", "watts", "calls", "window", "repeats", "source", "notes"),)
"""Columns of the table of energies per call, beside the test's name."""
CALL_ORDERS = ("name", *(one for one in CALL_COLUMNS if one != "notes"))
"""Columns that the table can be sorted by."""
BAD_IMAGES = ("refuse", "skip")
"""Answers to files that are no images: end the run with their names, or record their names."""
LINKS = ("refuse", "follow")
"""Answers to links that lead out of an image folder: end the run, or use what they lead to."""
VARY = ("order", "all")
"""What a seed changes: the order of the batches; or pretraining and splits as well."""


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
        "`auto`, or a comma-separated list of `nvml`, `amdsmi`, `intel-gpu`, `rapl`, `perf`, "
        "`hwmon`, `zeus`, `codecarbon`, `wall`, `ipmi`, `replay`",
        name="meter",
    )
    replay: str | None = option(None, "trace file that the `replay` meter plays")
    wall_meter: str | None = option(
        None,
        "plug between the machine and the wall, as `shelly:HOST[:PORT]` or `tasmota:HOST[:PORT]` "
        "(`/N` behind it names a channel, from 0), or the controller of the machine's board, as "
        "`redfish:HOST[:PORT]` (`/NAME` names a chassis); its energy is then the total",
    )
    hwmon: tuple[str, ...] = option(
        (),
        "sensors under `/sys/class/hwmon` to read beside those that energybench knows, each as "
        "`KIND=CHIP/SENSOR`: `cpu=ina226/power1`; KIND says what the sensor covers (`cpu`, `dram`, "
        "`gpu`, `wall` for the whole machine, or a word of yours)",
    )
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
        pattern="[A-Za-z]{3}",
    )
    intensity_file: str | None = option(
        None,
        "CSV of the grid's carbon intensity by the hour (Electricity Maps, Great Britain's, "
        "ENTSO-E's), by which to report kg CO2e",
    )
    intensity_zone: str | None = option(
        None, "zone of that file, where it has several: `FR`, `BZN|FR`"
    )
    intensity_factors: str | None = option(
        None,
        "CSV of g CO2e per kWh by production type, each with its source, for ENTSO-E's generation",
    )
    embodied_g_per_hour: float | None = option(
        None,
        "grams of CO2e from making the machines of the run that an hour of their use accounts for: "
        "kg x 1000 / hours of their life; reported apart",
        name="embodied-grams-per-hour",
        at_least=0,
        at_most=1e9,
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
    require: bool | None = option(
        None,
        "fail a benchmark whose energy is not known; `-o energy_require=false` lets it pass",
        default_text="where meters are named",
    )
    trace: bool = option(False, "sample each cell's power once a second, into its record")

    def __post_init__(self) -> None:
        check(self)
        if self.intensity_file is None:
            if self.intensity_zone is not None or self.intensity_factors is not None:
                raise UsageError(
                    "intensity-zone and intensity-factors belong to an intensity-file; name one"
                )
        elif self.country is not None:
            raise UsageError("country and intensity-file both give an intensity; leave one out")

    @property
    def requires_energy(self) -> bool:
        """Whether a benchmark without energy fails; by default where meters are named."""
        named = self.meters != ("auto",) or self.wall_meter is not None or bool(self.hwmon)
        return named if self.require is None else self.require

    def told_to_meters(self) -> dict[str, Any]:
        """The fields that a meter may need when it is opened, by their names in `MeterContext`."""
        return {
            "replay": self.replay,
            "wall_meter": self.wall_meter,
            "hwmon": self.hwmon,
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
    links: str = option(
        "refuse",
        "`refuse` an image folder with links that lead out of it, or `follow` them, which is how "
        "ImageNet is often arranged; no image may be reached twice",
        choices=LINKS,
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
    shard: bool = option(
        False,
        "divide weights, gradients and momenta among the ranks while they train (PyTorch's FSDP2), "
        "for networks whose training does not fit one GPU",
    )
    allow_power_limit: bool = option(
        False, "let the study of operating points change the GPU's power limit, and restore it"
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

    def check_ranks(self, ranks: int) -> None:
        """Raise `UsageError` for options that do not work on several ranks."""
        if ranks == 1:
            if self.shard:
                raise UsageError(
                    "shard divides weights among ranks, and there is one; ask for more by "
                    "world_size, or leave shard out"
                )
            return
        size = self.finetune.batch_size
        if size % ranks and not self.largest_batch:
            raise UsageError(
                f"batch_size is {size}, the batch of one step on all ranks together; it "
                f"cannot be split evenly over {ranks}: name a multiple of {ranks}"
            )
        for asked, name in ((self.compile, "compile"), (self.largest_batch, "batch_size auto")):
            if asked:
                raise UsageError(f"{name} is for one process; leave it out with {ranks} ranks")

    def protocol(self) -> dict[str, Any]:
        """The part of the configuration that a record keeps."""
        return {
            **asdict(self.finetune),
            "memory_format": self.memory_format,
            "compile": self.compile,
            "shard": self.shard,
            "tolerance": self.tolerance,
            "recalibrate_bn": self.recalibrate_bn,
            "pue": self.measure.pue,
        }
