"""The recorded result of compressing one model."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CompressionReport:
    """The result of compressing one model: the setting that was found, and its effect."""

    method: str
    settings: dict[str, float | int | str]
    """The strongest setting within tolerance, for instance {"bits": 17} or {"fraction": 0.42}."""
    compression_rate: float
    """Share of the model's weight storage that is freed, 0..1 (0 for `no_effect`)."""
    reference_score: float | None
    """The metric on the validation split before compressing; None if nothing was searched."""
    score: float | None
    """The metric on the validation split with `settings` applied, before any fine-tuning."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Every (setting, score) that the search evaluated, in the order of the evaluations."""
    no_effect: bool = False
    """Whether no setting was within the tolerance; the model is then unchanged."""
    error: dict[str, float] = field(default_factory=dict)
    """Layer -> relative Frobenius error of its weight, |W - W'| / |W|; empty where not computed."""
    notes: list[str] = field(default_factory=list)
    """Warnings about the search, for instance "the curve is not monotone"."""
    parts: list["CompressionReport"] = field(default_factory=list)
    """The reports of a composition's methods, in the order in which they were applied."""
    interval: tuple[float, float] | None = None
    """95 % interval of the searched setting over resampled validation items, among the settings
    that the search evaluated; None where it was not computed."""
