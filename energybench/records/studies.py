"""Results of the studies of hardware: into a benchmark's `extra_info`, and back out of it.

Durations are seconds, energies joules of the machine (IT energy); "not available" is None.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from energybench.energy.source import names_an_estimate
from energybench.errors import UsageError
from energybench.records.bounds import check_study
from energybench.records.schema import read_versioned

KEY = "energybench_study"
SCHEMA_VERSION = 1


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
    kind: str = "intensity"
    schema_version: int = SCHEMA_VERSION

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
class InferencePoint:
    """Time and energy of inference at one batch size."""

    batch_size: int
    seconds_per_1000_images: float
    joules_per_1000_images: float | None


@dataclass(frozen=True)
class Inference:
    """Inference with a finalized model, at several batch sizes."""

    model: str
    method: str
    seed: int
    image_size: int
    precision: str
    device_name: str
    points: list[InferencePoint]
    sources: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    compression_rate: float = 0.0
    kind: str = "inference"
    schema_version: int = SCHEMA_VERSION

    @property
    def joules_by_batch(self) -> dict[int, float]:
        """Batch size -> joules per answer, which is one image; without those that are not known."""
        return {
            one.batch_size: one.joules_per_1000_images / 1000.0
            for one in self.points
            if one.joules_per_1000_images is not None
        }

    @property
    def estimated(self) -> bool:
        """Whether the energy is an estimate instead of a measurement."""
        return names_an_estimate(self.sources.values())


@dataclass(frozen=True)
class GenerationPoint:
    """Time and energy of answers that a language model writes, at one batch size.

    Prefill, decoding and whole answers were measured in a window of their own each.
    """

    batch_size: int
    """Prompts that are answered together."""
    prefill_seconds_per_1000_tokens: float
    """Per tokens of the prompts; the prefill chooses the first token of each answer, too."""
    prefill_joules_per_1000_tokens: float | None
    decode_seconds_per_1000_tokens: float
    """Per tokens of the answers after their first."""
    decode_joules_per_1000_tokens: float | None
    seconds_per_answer: float
    joules_per_answer: float | None
    """A prefill and the decoding after it."""


@dataclass(frozen=True)
class Generation:
    """Answers of a finalized language model, at several batch sizes."""

    model: str
    method: str
    seed: int
    prompt_length: int
    """Tokens of each prompt."""
    answer_length: int
    """Tokens of each answer, without the prompt."""
    precision: str
    device_name: str
    points: list[GenerationPoint]
    sources: dict[str, str] = field(default_factory=dict)
    """Domain -> how its energy was read."""
    flags: list[str] = field(default_factory=list)
    compression_rate: float = 0.0
    kind: str = "generation"
    schema_version: int = SCHEMA_VERSION

    @property
    def joules_by_batch(self) -> dict[int, float]:
        """Batch size -> joules per answer; without those that are not known."""
        return {
            one.batch_size: one.joules_per_answer
            for one in self.points
            if one.joules_per_answer is not None
        }

    @property
    def apart_over_together(self) -> dict[int, float]:
        """Batch size -> joules of an answer's prefill and decoding apart, over those together.

        Three windows measured the same work twice, so that 1 is a quiet machine.
        """
        found = {}
        for one in self.points:
            read, written = one.prefill_joules_per_1000_tokens, one.decode_joules_per_1000_tokens
            if read is not None and written is not None and one.joules_per_answer:
                apart = self.prompt_length * read + (self.answer_length - 1) * written
                found[one.batch_size] = apart / 1000.0 / one.joules_per_answer
        return found

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


Answered = Inference | Generation
"""Studies of what an answer takes."""
Study = Intensity | Answered | Throughput

_KINDS: dict[str, type[Study]] = {
    "intensity": Intensity,
    "inference": Inference,
    "generation": Generation,
    "throughput": Throughput,
}


def to_extra_info(found: Study) -> dict[str, Any]:
    """`found` as an entry of a benchmark's `extra_info`."""
    return {KEY: asdict(found)}


def read_studies(extras: Iterable[dict[str, Any]]) -> list[Study]:
    """The studies in the `extra_info` of benchmarks; benchmarks without one are passed over.

    Raises `UsageError` for a study of a newer energybench, or of another shape.
    """
    found: list[Study] = []
    for extra in extras:
        if KEY not in extra:
            continue
        data = extra[KEY]
        name = data.get("kind") if isinstance(data, dict) else None
        if name not in _KINDS:
            raise UsageError(f"no study of the kind {name!r}; upgrade energybench to read it")
        study = read_versioned(data, _KINDS[name], "study", SCHEMA_VERSION)
        check_study(study)
        found.append(study)
    return found
