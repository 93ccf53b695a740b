"""The energy that each method saved against its baseline, paired by seed, with its caveats."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from energybench.records.metric import Metric
from energybench.records.record import RunRecord
from energybench.registry import BASELINE, is_repeat
from energybench.report.factors import Factors, factors
from energybench.report.floor import Floor, floor, shown_saving
from energybench.report.likeness import arithmetics, boards, other_watts
from energybench.report.rows import OF_THE_METHOD, Row, RowKey, in_order, rows
from energybench.report.stats import Estimate, means, ratios

CONTROL = "baseline-"
"""The names of uncompressed controls in another arithmetic begin with it."""
SAVES, COSTS, NONE, UNCLEAR, FEW = "saves", "costs", "none", "unclear", "few"
"""What a saving's interval shows, see `Saving.effect`."""
MANY_EPOCHS = 1.5
"""Multiple of the baseline's epochs beyond which few methods save (arXiv 2506.01311)."""

Pair = tuple[RunRecord, RunRecord]
"""A record and its baseline, of one seed."""


@dataclass(frozen=True)
class Saving:
    """One model x method x setting against a baseline.

    Ratios are geometric means over the seeds, the method's over the baseline's: 0.6 saves 40 %.
    """

    key: RowKey
    base: str
    """The method in the ratio's denominator."""
    pairs: tuple[Pair, ...]
    energy: Estimate | None
    """Ratio of `kwh`; None if an energy is not known or the two were read differently."""
    noise: Floor | None = None
    """The noise floor of the run; None where no baseline was repeated."""
    control: str | None = None
    """Name of the strongest control: the cheapest uncompressed arithmetic within tolerance."""
    control_pairs: tuple[Pair, ...] = ()
    """Each record with that control's record of the same seed."""
    against_control: Estimate | None = None
    """Ratio of `kwh` to the control's."""

    @property
    def model(self) -> str:
        """The network."""
        return self.key.model

    @property
    def method(self) -> str:
        """The compression."""
        return self.key.method

    @property
    def saved(self) -> float | None:
        """Share of the energy saved; negative if the method cost more than the baseline."""
        return None if self.energy is None else 1.0 - self.energy.value

    @property
    def effect(self) -> str | None:
        """What can be said of `energy`; None where it is not known.

        `NONE`: equal cells could differ as much (the noise floor). `FEW`: too few seeds for an
        interval. `UNCLEAR`: the interval holds both a saving and a cost. Otherwise `SAVES` or
        `COSTS`, beyond doubt.
        """
        if self.energy is None:
            return None
        if self.noise is not None and self.noise.covers(self.energy):
            return NONE
        low, high = self.energy.low, self.energy.high
        if low is None or high is None:
            return FEW
        if low <= 1.0 <= high:
            return UNCLEAR
        return SAVES if high < 1.0 else COSTS

    @property
    def lower(self) -> bool:
        """Whether less energy was seen, and neither noise nor the seeds explain it so far."""
        known = self.energy is not None and self.energy.value < 1.0
        return known and self.effect not in (NONE, UNCLEAR)

    @property
    def text(self) -> str:
        """The saving with its interval, "none (±6 %)" within the noise floor, "-" if not known."""
        return shown_saving(self.energy, self.noise)

    @property
    def text_with_search(self) -> str:
        """The saving as `text`, the method's own search included."""
        return shown_saving(self.with_search, self.noise)

    @property
    def metric(self) -> Metric | None:
        """The metric of the tests; None if no cell was tested."""
        return self.pairs[0][0].metric

    @property
    def beyond(self) -> int:
        """Number of seeds that dropped by more than the tolerance."""
        return sum(ours.within_tolerance is False for ours, _ in self.pairs)

    @cached_property
    def with_search(self) -> Estimate | None:
        """Ratio of `kwh_total`, the method's own search included."""
        return energy_ratios([self.pairs], "kwh_total")[0]

    @cached_property
    def drop(self) -> Estimate | None:
        """Mean drop in the metric's unit, positive if worse; None if a value is not known."""
        return mean_drop([record for record, _ in self.pairs])

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """Phrases of caution, such as "1.8 x the baseline's epochs", "drop beyond tolerance"."""
        return tuple(_flags(self))

    @cached_property
    def factors(self) -> Factors | None:
        """The factors of `energy`; None where `energy` is."""
        return None if self.energy is None else factors(self.pairs)

    @cached_property
    def control_factors(self) -> Factors | None:
        """The factors of `against_control`; None where `against_control` is."""
        return None if self.against_control is None else factors(self.control_pairs)

    @property
    def estimated(self) -> bool:
        """Whether any energy is an estimate instead of a measurement."""
        return any(record.estimated for pair in self.pairs for record in pair)


def mean_drop(records: Sequence[RunRecord]) -> Estimate | None:
    """Return the mean drop of one row's records, by seed; None if a drop is not known."""
    drops = [record.drop for record in records]
    known = [drop for drop in drops if drop is not None]
    if not known or len(known) < len(drops):
        return None
    steps = [record.test.resolution for record in records if record.test is not None]
    return means([known], [max(steps)])[0]


def savings(records: Iterable[RunRecord]) -> list[Saving]:
    """Compare every method in `records` with the baseline of its model, data and protocol."""
    records = list(records)
    return saved_in(rows(records), floor(records))


def saved_in(found: Mapping[RowKey, Row], noise: Floor | None = None) -> list[Saving]:
    """Return `savings` of records that are already grouped into rows, and their noise floor.

    Repetitions of the baseline are no method: they have no saving, and serve as no control.
    """
    by_core: dict[RowKey, dict[str, Row]] = {}
    for key, row in found.items():
        by_core.setdefault(core(key), {}).setdefault(key.method, {}).update(row)
    paired = {
        key: _pairs(found[key], by_core[core(key)].get(BASELINE, {}))
        for key in in_order(found)
        if key.method != BASELINE and not is_repeat(key.method)
    }
    result = _against(BASELINE, {key: pairs for key, pairs in paired.items() if pairs}, noise)
    return _with_controls(result, _strongest_controls(result), by_core)


def core(key: RowKey) -> RowKey:
    """Return the part of a row's key that its baseline and its controls share."""
    shared = tuple(item for item in key.setting if item[0] not in OF_THE_METHOD)
    return RowKey(key.model, "", shared)


def _pairs(row: Row, base: Row) -> tuple[Pair, ...]:
    """Return the records with their baselines of the same seed, measured on the same GPUs.

    Two boards of one kind may differ by more than a method saves.
    """
    return tuple(
        (record, base[seed])
        for seed, record in sorted(row.items())
        if seed in base and boards(record) == boards(base[seed])
    )


def _against(
    base: str, paired: dict[RowKey, tuple[Pair, ...]], noise: Floor | None
) -> list[Saving]:
    """Return the savings of all rows, all at once because that is faster."""
    keys = list(paired)
    energy = energy_ratios([paired[key] for key in keys], "kwh")
    return [
        Saving(key, base, paired[key], ratio, noise)
        for key, ratio in zip(keys, energy, strict=True)
    ]


def energy_ratios(paired: Sequence[Sequence[Pair]], name: str) -> list[Estimate | None]:
    """Return per row of pairs the ratio of the energies `name`, a property of the record.

    The ratio is None without a pair, if an energy is not known or not positive, or if the two
    energies of a pair were read in different ways: a measurement and an estimate are not
    comparable.
    """
    values: list[list[tuple[float, float]]] = []
    for pairs in paired:
        row = [(getattr(ours, name), getattr(theirs, name)) for ours, theirs in pairs]
        comparable = all(ours.energy_source == theirs.energy_source for ours, theirs in pairs)
        known = all(ours and theirs and ours > 0 and theirs > 0 for ours, theirs in row)
        values.append(row if comparable and known else [])
    found = iter(ratios([row for row in values if row]))
    return [next(found) if row else None for row in values]


def _strongest_controls(found: Sequence[Saving]) -> dict[RowKey, str]:
    """Return core -> its cheapest control that saves energy and stays within the tolerance."""
    best: dict[RowKey, Saving] = {}
    for saving in found:
        if not saving.method.startswith(CONTROL) or "+" in saving.method:
            continue
        if saving.energy is None or not saving.lower or saving.beyond:
            continue
        other = best.get(core(saving.key))
        if other is None or other.energy is None or saving.energy.value < other.energy.value:
            best[core(saving.key)] = saving
    return {own: saving.method for own, saving in best.items()}


def _with_controls(
    found: Sequence[Saving], controls: dict[RowKey, str], by_core: dict[RowKey, dict[str, Row]]
) -> list[Saving]:
    rows_of_pairs = []
    for saving in found:
        own = core(saving.key)
        control = controls.get(own)
        row = {record.seed: record for record, _ in saving.pairs}
        against = by_core[own][control] if control and control != saving.method else {}
        rows_of_pairs.append(_pairs(row, against))
    against_control = energy_ratios(rows_of_pairs, "kwh")
    return [
        replace(
            saving,
            control=controls[core(saving.key)],
            control_pairs=pairs,
            against_control=ratio,
        )
        if pairs
        else saving
        for saving, pairs, ratio in zip(found, rows_of_pairs, against_control, strict=True)
    ]


def _flags(saving: Saving) -> list[str]:
    flags = []
    epochs = fmean(ours.epoch_count or 0 for ours, _ in saving.pairs)
    base_epochs = fmean(theirs.epoch_count or 0 for _, theirs in saving.pairs)
    if base_epochs and epochs > MANY_EPOCHS * base_epochs:
        flags.append(f"{epochs / base_epochs:.1f} x the baseline's epochs")
    if any(ours.script is not None for ours, _ in saving.pairs):
        flags.append("whether the metric dropped is not known")
    if saving.beyond:
        of = f" in {saving.beyond} of {len(saving.pairs)} seeds" if len(saving.pairs) > 1 else ""
        flags.append(f"drop beyond tolerance{of}")
    if any(ours.compression and ours.compression.no_effect for ours, _ in saving.pairs):
        flags.append("nothing compressed within tolerance")
    several = arithmetics(ours for ours, _ in saving.pairs)
    if several is not None:
        flags.append(f"several arithmetics: {several}")
    if other_watts(saving.pairs):
        flags.append("estimated with other watts than its baseline")
    flags += _payback(saving)
    if saving.lower and saving.against_control is not None and saving.against_control.value >= 1.0:
        flags.append(f"the arithmetic's saving: {saving.control} saves as much")
    return flags


def _payback(saving: Saving) -> list[str]:
    """Return after how many fine-tunings the saving covers the search, if one is not enough."""
    if not saving.lower or saving.with_search is None:
        return []
    cost = fmean((ours.kwh_total or 0.0) - (ours.kwh or 0.0) for ours, _ in saving.pairs)
    gain = fmean((theirs.kwh or 0.0) - (ours.kwh or 0.0) for ours, theirs in saving.pairs)
    if gain <= 0.0 or cost <= gain:
        return []
    return [f"search pays back after {-int(-cost // gain)} fine-tunings"]
