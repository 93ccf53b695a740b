"""Studies of single training steps: against the device's ceilings, and beside timm's."""

from dataclasses import dataclass, field

from energybench.energy.source import names_an_estimate
from energybench.records.studies.version import SCHEMA_VERSION


@dataclass(frozen=True)
class Intensity:
    """One training step of one model and method, against the measured ceilings of its device."""

    model: str
    method: str
    seed: int
    batch_size: int
    image_size: int
    precision: str
    device_name: str
    flops_per_step: float
    """Floating-point operations of forward and backward; a multiplication with its addition is 2.

    PyTorch's `FlopCounterMode` counts them: matrix products and convolutions, nothing else.
    """
    bytes_per_step: float
    """An estimate: the bytes that all operations of the step read and write, without caches."""
    seconds_per_step: float
    joules_per_step: float | None
    ceiling_flops_per_s: float
    """Measured with a large matrix product in this precision."""
    ceiling_bytes_per_s: float
    """Measured by copying a buffer far larger than the caches; reads and writes both count."""
    sources: dict[str, str] = field(default_factory=dict)
    """Domain -> how its energy was read."""
    flags: list[str] = field(default_factory=list)
    compression_rate: float = 0.0
    compiled: bool = False
    """Whether the step went through `torch.compile`; its operations and bytes are then those of the
    same step without it."""
    memory_format: str = ""
    """`contiguous` or `channels_last`; "" where it is not known."""
    settings: dict[str, float | int | str] = field(default_factory=dict)
    """What the method's search found."""
    kind: str = "intensity"
    schema_version: int = SCHEMA_VERSION

    @property
    def joules_per_image(self) -> float | None:
        """IT energy per image of the step; None where the energy is not known."""
        return None if self.joules_per_step is None else self.joules_per_step / self.batch_size

    @property
    def arithmetic(self) -> str:
        """The precision, and whether the step is compiled: "bf16, compiled"."""
        return f"{self.precision}, compiled" if self.compiled else self.precision

    @property
    def flops_per_s(self) -> float:
        """Achieved floating-point operations per second."""
        return self.flops_per_step / self.seconds_per_step

    @property
    def bytes_per_s(self) -> float:
        """Achieved rate of the estimated bytes; caches can lift it above the ceiling."""
        return self.bytes_per_step / self.seconds_per_step

    @property
    def intensity(self) -> float:
        """Floating-point operations per byte (S. Williams et al., Roofline, CACM 52(4), 2009)."""
        return self.flops_per_step / self.bytes_per_step

    @property
    def joules_per_flop(self) -> float | None:
        """IT energy per floating-point operation; None where the energy is not known."""
        if self.joules_per_step is None or self.flops_per_step <= 0:
            return None
        return self.joules_per_step / self.flops_per_step

    @property
    def estimated(self) -> bool:
        """Whether the energy is an estimate instead of a measurement."""
        return names_an_estimate(self.sources.values())


@dataclass(frozen=True)
class Throughput:
    """Training steps of one untrained network in one arithmetic, beside timm's."""

    model: str
    precision: str
    compiled: bool
    memory_format: str
    batch_size: int
    image_size: int
    device_name: str
    images_per_s: float
    joules_per_image: float | None
    flops_per_image: float
    """Forward and backward, as in `Intensity`."""
    ceiling_flops_per_s: float
    """Measured in the same session with a large matrix product in this precision."""
    timm_images_per_s: float | None = None
    """Rate of timm's loop on the same batch; None where timm is not installed."""
    timm_joules_per_image: float | None = None
    window_s: float = 0.0
    sources: dict[str, str] = field(default_factory=dict)
    """Domain -> how its energy was read."""
    flags: list[str] = field(default_factory=list)
    kind: str = "throughput"
    schema_version: int = SCHEMA_VERSION

    @property
    def utilisation(self) -> float:
        """Model FLOP utilisation: the share of the measured ceiling that training reaches."""
        return self.flops_per_image * self.images_per_s / self.ceiling_flops_per_s

    @property
    def over_timm(self) -> float | None:
        """Our images per second over timm's."""
        return None if not self.timm_images_per_s else self.images_per_s / self.timm_images_per_s

    @property
    def estimated(self) -> bool:
        """Whether the energy is an estimate instead of a measurement."""
        return names_an_estimate(self.sources.values())
