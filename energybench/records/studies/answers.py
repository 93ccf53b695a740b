"""Studies of the answers of finalized models."""

from dataclasses import dataclass, field

from energybench.energy.source import names_an_estimate
from energybench.records.studies.version import SCHEMA_VERSION


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
