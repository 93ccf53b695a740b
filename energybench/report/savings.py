"""What each method saved against its baseline, paired by seed, and what speaks against it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from energybench.records.record import RunRecord
from energybench.report.cells import Row, RowKey, in_order, rows
from energybench.report.factors import Factors, factors
from energybench.report.stats import Estimate, means, ratios

BASELINE = "baseline"
CONTROL = "baseline-"
"""How the names of uncompressed controls in another arithmetic begin."""
MANY_EPOCHS = 1.5
"""Times the baseline's epochs, beyond which the paper finds that a method is unlikely to save."""
_OF_THE_METHOD = ("tolerance", "budget")
"""Of a setting, what a baseline does not depend on."""

Pair = tuple[RunRecord, RunRecord]
"""A record and its baseline, of one seed."""


@dataclass(frozen=True)
class Saving:
    """One model x method x setting against a baseline.

    Ratios are geometric means over the seeds, the method's over the baseline's: 0.6 saves 40 %.
    """

    key: RowKey
    base: str
    """The method it is compared with."""
    pairs: tuple[Pair, ...]
    energy: Estimate | None
    """Ratio of `kwh`; None where an energy is not known or the two were read differently."""
    control: str | None = None
    """The strongest control measured: the cheapest uncompressed arithmetic within tolerance."""
    control_pairs: tuple[Pair, ...] = ()
    """With that control's records."""
    against_control: Estimate | None = None
    """Ratio of `kwh` to the control's."""

    @property
    def model(self) -> str:
        """The network."""
        return self.key.model

    @property
    def method(self) -> str:
        """What was done to it."""
        return self.key.method

    @property
    def saved(self) -> float | None:
        """Share of the energy saved; negative where it cost more."""
        return None if self.energy is None else 1.0 - self.energy.value

    @property
    def beyond(self) -> int:
        """In how many seeds the accuracy dropped by more than the tolerance."""
        return sum(ours.within_tolerance is False for ours, _ in self.pairs)

    @cached_property
    def with_search(self) -> Estimate | None:
        """Ratio of `kwh_total`, the method's own search included."""
        return energy_ratios([self.pairs], "kwh_total")[0]

    @cached_property
    def drop_pp(self) -> Estimate | None:
        """Mean accuracy drop, percentage points; None where an accuracy is not known."""
        drops = [record.drop_pp for record, _ in self.pairs]
        known = [drop for drop in drops if drop is not None]
        return means([known])[0] if len(known) == len(drops) else None

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """What a reader must know, each a phrase: the paper's signatures of failure, and more."""
        return tuple(_flags(self))

    @cached_property
    def factors(self) -> Factors | None:
        """Of the ratio to the baseline; None where `energy` is."""
        return None if self.energy is None else factors(self.pairs)

    @cached_property
    def control_factors(self) -> Factors | None:
        """Of the ratio to the control; None where `against_control` is."""
        return None if self.against_control is None else factors(self.control_pairs)

    @property
    def estimated(self) -> bool:
        """Whether any energy is an estimate instead of a measurement."""
        return any(record.estimated for pair in self.pairs for record in pair)


def savings(records: Iterable[RunRecord]) -> list[Saving]:
    """Every method in `records` against the baseline of its model, data and protocol."""
    return saved_in(rows(records))


def saved_in(found: Mapping[RowKey, Row]) -> list[Saving]:
    """`savings`, of records that are lined up already."""
    by_core: dict[RowKey, dict[str, Row]] = {}
    for key, row in found.items():
        by_core.setdefault(_core(key), {}).setdefault(key.method, {}).update(row)
    paired = {
        key: _pairs(found[key], by_core[_core(key)].get(BASELINE, {}))
        for key in in_order(found)
        if key.method != BASELINE
    }
    result = _against(BASELINE, {key: pairs for key, pairs in paired.items() if pairs})
    return _with_controls(result, _strongest_controls(result), by_core)


def _core(key: RowKey) -> RowKey:
    """What a row shares with its baseline and its controls."""
    core = tuple(item for item in key.setting if item[0] not in _OF_THE_METHOD)
    return RowKey(key.model, "", core)


def _pairs(row: Row, base: Row) -> tuple[Pair, ...]:
    return tuple((record, base[seed]) for seed, record in sorted(row.items()) if seed in base)


def _against(base: str, paired: dict[RowKey, tuple[Pair, ...]]) -> list[Saving]:
    """All at once: the bootstrap of many rows takes hardly longer than that of one."""
    keys = list(paired)
    energy = energy_ratios([paired[key] for key in keys], "kwh")
    return [Saving(key, base, paired[key], ratio) for key, ratio in zip(keys, energy, strict=True)]


def energy_ratios(paired: Sequence[Sequence[Pair]], name: str) -> list[Estimate | None]:
    """Per row of pairs the ratio of the energy `name`, a property of the record.

    None where there is no pair, one of the energies is not known or not positive, or the two of a
    pair were read in different ways: a measurement and an estimate are not comparable.
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
    """Core -> the cheapest control there that saves and stays within the tolerance."""
    best: dict[RowKey, Saving] = {}
    for saving in found:
        if not saving.method.startswith(CONTROL) or "+" in saving.method:
            continue
        if saving.energy is None or saving.energy.value >= 1.0 or saving.beyond:
            continue
        other = best.get(_core(saving.key))
        if other is None or other.energy is None or saving.energy.value < other.energy.value:
            best[_core(saving.key)] = saving
    return {core: saving.method for core, saving in best.items()}


def _with_controls(
    found: Sequence[Saving], controls: dict[RowKey, str], by_core: dict[RowKey, dict[str, Row]]
) -> list[Saving]:
    rows_of_pairs = []
    for saving in found:
        core = _core(saving.key)
        control = controls.get(core)
        row = {record.seed: record for record, _ in saving.pairs}
        against = by_core[core][control] if control and control != saving.method else {}
        rows_of_pairs.append(_pairs(row, against))
    against_control = energy_ratios(rows_of_pairs, "kwh")
    return [
        replace(
            saving,
            control=controls[_core(saving.key)],
            control_pairs=pairs,
            against_control=ratio,
        )
        if pairs
        else saving
        for saving, pairs, ratio in zip(found, rows_of_pairs, against_control, strict=True)
    ]


def _flags(saving: Saving) -> list[str]:
    flags = []
    epochs = fmean(len(ours.epochs) for ours, _ in saving.pairs)
    base_epochs = fmean(len(theirs.epochs) for _, theirs in saving.pairs)
    if base_epochs and epochs > MANY_EPOCHS * base_epochs:
        flags.append(f"{epochs / base_epochs:.1f} x the baseline's epochs")
    if saving.beyond:
        of = f" in {saving.beyond} of {len(saving.pairs)} seeds" if len(saving.pairs) > 1 else ""
        flags.append(f"drop beyond tolerance{of}")
    if any(ours.compression and ours.compression.no_effect for ours, _ in saving.pairs):
        flags.append("nothing compressed within tolerance")
    flags += _payback(saving)
    saves = saving.energy is not None and saving.energy.value < 1.0
    if saves and saving.against_control is not None and saving.against_control.value >= 1.0:
        flags.append(f"the arithmetic's saving: {saving.control} saves as much")
    return flags


def _payback(saving: Saving) -> list[str]:
    """How many fine-tunings it takes until the saving covers the search, where one does not."""
    if saving.energy is None or saving.energy.value >= 1.0 or saving.with_search is None:
        return []
    cost = fmean((ours.kwh_total or 0.0) - (ours.kwh or 0.0) for ours, _ in saving.pairs)
    gain = fmean((theirs.kwh or 0.0) - (ours.kwh or 0.0) for ours, theirs in saving.pairs)
    if gain <= 0.0 or cost <= gain:
        return []
    return [f"search pays back after {-int(-cost // gain)} fine-tunings"]
