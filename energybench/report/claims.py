"""A claim of the paper's as `paper.toml` states it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper, with its figures."""

    text: str
    check: str
    """Name of the quantity in `evidence` that judges the claim."""
    models: tuple[str, ...]
    """The models that the claim is about."""
    method: str | None = None
    """The method that the claim is about; None for every single method."""
    bound: float = 0.0
    low: float = 0.0
    at_least: int | None = None
    """Number of the models that it has to hold on; None for all."""
    rates: tuple[float, float] | None = None
    """Least and largest compression rate at which it can be judged; None for any."""
