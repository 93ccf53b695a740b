"""Methods that compress once, before training, and then let it change every weight.

arXiv 2506.01311 does this: it overwrites low-order bits, or zeroes weights, and fine-tunes the
network as any other. `stego` and `prune` hold what they did through every step.
"""

from torch import nn

from energybench.compression.base import Score
from energybench.compression.bits import Fill, Rounding, with_clear_bits
from energybench.compression.prune import Prune, Weights
from energybench.compression.stego import Stego
from energybench.compression.weights import covered_weights, zero_count
from energybench.records.record import CompressionReport


class StegoOnce(Stego):
    """Overwrites low-order bits once, as many as the tolerance allows, and trains in fp32.

    `fill` is zeros, or random bits as hidden data would have. `rounding` and `bits` are those of
    `Stego`. The compression rate is that before training.
    """

    name = "stego-once"
    trains_freely = True

    def __init__(
        self, fill: Fill = "zeros", rounding: Rounding = "truncate", bits: int | None = None
    ) -> None:
        super().__init__(rounding, bits, fill)

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Overwrite the `capacity` of the covered weights; the report has "bits" and "fill"."""
        report = super().compress(model, score, tolerance)
        report.settings["fill"] = self._fill
        return report

    def precisions(self) -> tuple[str, ...]:
        """Return none: trained weights have all their bits."""
        return ()

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing: the network keeps what training made of it."""

    def after_training(self, model: nn.Module) -> list[str]:
        """Say which share of the covered weights still has the bits clear; [] for random bits."""
        if not self._bits or self._fill != "zeros":
            return []
        weights = list(covered_weights(model).values())
        clear = sum(with_clear_bits(weight, self._bits) for weight in weights)
        share = clear / sum(weight.numel() for weight in weights)
        return [
            f"{self.name}: {100 * share:.1f} % of the covered weights "
            f"still have {self._bits} clear bits after training"
        ]


class StegoOnceRandom(StegoOnce):
    """Overwrites low-order bits once with random ones, as hidden data would, and trains in fp32."""

    name = "stego-once-random"

    def __init__(self, bits: int | None = None) -> None:
        super().__init__("random", bits=bits)


class PruneOnce(Prune):
    """Zeroes the weights of least magnitude once, and then trains every weight.

    The compression rate is that before training.
    """

    name = "prune-once"
    trains_freely = True

    def __init__(self, fraction: float | None = None) -> None:
        super().__init__(fraction)
        self._zeroed = 0

    def _keep(self, pruned: Weights) -> None:
        """Remember the number of zeros, and hold none."""
        self._zeroed = zero_count(pruned)

    def after_training(self, model: nn.Module) -> list[str]:
        """Say which share of the zeros is still zero."""
        if not self._zeroed:
            return []
        share = zero_count(covered_weights(model)) / self._zeroed
        return [
            f"{self.name}: {100 * share:.1f} % of the zeroed weights are still zero after training"
        ]
