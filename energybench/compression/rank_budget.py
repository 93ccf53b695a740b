"""Ranks of many layers for one budget of parameters to save.

Every layer has a curve: energy lost over parameters saved. The least loss for a budget has the same
price, loss per parameter, in all layers (the Lagrangian condition; Y. Shoham, A. Gersho, "Efficient
Bit Allocation for an Arbitrary Set of Quantizers", 1988). So the steps of all layers are sorted by
price once, and a budget takes the cheapest of them: a larger budget never raises a rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """The energy that each rank of a layer keeps, and the parameters that it needs."""

    energies: Tensor
    """(m,) float64 squared singular values, descending."""
    dense: int
    """Parameters of the dense weight."""
    per_rank: int
    """Parameters of both factors together, per rank."""

    @property
    def most(self) -> int:
        """Return the largest rank that saves parameters, 0 for none."""
        return min((self.dense - 1) // self.per_rank, len(self.energies))

    def saved(self, rank: int) -> int:
        """Return the parameters saved at `rank`."""
        return self.dense - rank * self.per_rank

    def lost(self) -> Tensor:
        """Return the shares of the energy lost at rank 0..m, (m + 1,)."""
        tails = self.energies.flip(0).cumsum(0).flip(0)
        total = tails[:1].clamp_min(torch.finfo(torch.float64).tiny)
        return torch.cat([tails, torch.zeros(1, dtype=tails.dtype)]) / total

    def steps(self) -> tuple[int, Tensor]:
        """Return the rank after the first step, and the prices of all steps, ascending.

        The first step goes from the dense layer to the rank that saves parameters at the lowest
        price; each further step lowers the rank by 1, down to rank 1. Needs `most` > 0.
        """
        lost = self.lost()
        ranks = torch.arange(1, self.most + 1)
        saved = (self.dense - ranks * self.per_rank).double()
        prices = lost[ranks] / saved
        first = int(prices.argmin()) + 1
        further = (lost[1:first] - lost[2 : first + 1]).flip(0) / self.per_rank
        return first, torch.cat([prices[first - 1 : first], further]).cummax(0).values


_NONE = torch.zeros(0, dtype=torch.int64)


class Budget:
    """Finds the ranks of every layer for any number of parameters to save."""

    def __init__(self, spectra: Sequence[Spectrum]) -> None:
        """Sort the steps of layers whose `spectra` have `most` > 0."""
        self._spectra = spectra
        self._firsts = []
        owners, prices, saved = [_NONE], [_NONE.double()], [_NONE]
        for index, spectrum in enumerate(spectra):
            first, its_prices = spectrum.steps()
            its_saved = torch.full((len(its_prices),), spectrum.per_rank)
            its_saved[0] = spectrum.saved(first)
            self._firsts.append(first)
            owners.append(torch.full((len(its_prices),), index))
            prices.append(its_prices)
            saved.append(its_saved)
        order = torch.cat(prices).argsort(stable=True)
        self._owners = torch.cat(owners)[order]
        self._saved = torch.cat(saved)[order].cumsum(0)

    @property
    def largest(self) -> int:
        """Return the parameters saved at rank 1 in every layer."""
        return int(self._saved[-1]) if len(self._saved) else 0

    def step_ends(self) -> list[int]:
        """Return the budgets that whole steps meet exactly, ascending; their loss is the least."""
        ends: list[int] = self._saved.tolist()
        return ends

    def ranks(self, save: int) -> dict[int, int]:
        """Return layer index -> rank, which together save at least `save` (1..largest) parameters.

        Layers that stay dense are left out. The last layer that is factorized may have a higher
        rank than that of the lowest price, where this saves enough.
        """
        taken = int(torch.searchsorted(self._saved, save)) + 1
        owners, counts = self._owners[:taken].unique(return_counts=True)
        pairs = zip(owners.tolist(), counts.tolist(), strict=True)
        ranks = {owner: self._firsts[owner] - (count - 1) for owner, count in pairs}
        last = int(self._owners[taken - 1])
        if ranks[last] == self._firsts[last]:
            spectrum = self._spectra[last]
            before = int(self._saved[taken - 2]) if taken > 1 else 0
            enough = (spectrum.dense - (save - before)) // spectrum.per_rank
            ranks[last] = min(enough, spectrum.most)
        return ranks
