"""A comparison of runs: the cells that they share, side by side, and notes on the others."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from energybench.records.metric import Metric
from energybench.records.record import RunRecord
from energybench.report.floor import floor
from energybench.report.likeness import boards, notes_between, notes_within
from energybench.report.mismatch import mismatches
from energybench.report.rows import Row, RowKey, in_order, labels, rows, setting
from energybench.report.savings import Pair, Saving, energy_ratios, mean_drop, saved_in
from energybench.report.sensitivity import named, sensitivity_line
from energybench.report.stats import Estimate, mean_of_all


@dataclass(frozen=True)
class Column:
    """The cells of one run in one row, averaged over the seeds that all runs with this row have.

    A mean is None if one of its values is not known.
    """

    records: tuple[RunRecord, ...]
    """One record per seed, in the order of the seeds."""
    saving: Saving | None
    """The saving against the run's own baseline; None for a baseline, and without a baseline."""
    ratio: Estimate | None
    """The ratio of `kwh` to the first run's, over the seeds that both runs have.

    None for the first run, and where an energy is missing or the sources of energy differ in kind.
    """

    @cached_property
    def means(self) -> dict[str, float | None]:
        """Name -> mean over the seeds: `kwh`, `epochs`, `seconds`, `watts` (of the machine),
        `value` of the metric, `drop` in its unit."""
        return {
            "kwh": mean_of_all([record.kwh for record in self.records]),
            "epochs": mean_of_all([record.epoch_count for record in self.records]),
            "seconds": mean_of_all([finetune_s(record) for record in self.records]),
            "watts": mean_of_all([_watts(record) for record in self.records]),
            "value": mean_of_all([record.value for record in self.records]),
            "drop": mean_of_all([record.drop for record in self.records]),
        }

    @cached_property
    def drop(self) -> Estimate | None:
        """The mean of `drop` with its interval; None if a value is not known."""
        return mean_drop(self.records)

    @property
    def metric(self) -> Metric | None:
        """The metric of the tests; None if no cell was tested."""
        return self.records[0].metric


@dataclass(frozen=True)
class ComparedRow:
    """One model x method x setting, with a column for each run that measured it."""

    key: RowKey
    label: str
    """The settings that no other row of this model and method has; mostly empty."""
    columns: dict[str, Column]
    """Run -> its cells."""
    pairs: dict[str, tuple[Pair, ...]]
    """Later run -> pairs (its record, the first run's record), one per seed that both have.

    A run without such a seed has no entry."""


@dataclass(frozen=True)
class Comparison:
    """Several runs, row by row; every later run is compared with the first."""

    runs: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    """The rows of a single run; of several runs, the rows that at least two of them have."""
    notes: tuple[str, ...]
    """One line per cell or setting that was not compared, with the reason."""
    failed: dict[str, tuple[RunRecord, ...]]
    """Run -> its failed cells."""

    @property
    def letters(self) -> list[str]:
        """Short names of the runs, for headers: A, B, ... Z, R27, ..."""
        return letters(len(self.runs))

    @property
    def comparable(self) -> bool:
        """Whether any cell of the first run has a counterpart."""
        return len(self.runs) == 1 or any(row.pairs for row in self.rows)


def letters(count: int) -> list[str]:
    """Return short names of `count` runs: A, B, ... Z, R27, ..."""
    first = [chr(ord("A") + place) for place in range(min(26, count))]
    return [*first, *(f"R{place + 1}" for place in range(26, count))]


def compare(runs: Mapping[str, Sequence[RunRecord]], across: Collection[str] = ()) -> Comparison:
    """Line up `runs` (label -> records) by model x method x seed x data x protocol.

    `across` names parts of the protocol that may differ. If a run holds a cell twice, the last
    record counts.
    """
    found = {run: rows(records, across) for run, records in runs.items()}
    names = tuple(runs)
    saved = {
        run: {one.key: one for one in saved_in(table, floor(runs[run]))}
        for run, table in found.items()
    }
    keys = in_order(dict.fromkeys(key for table in found.values() for key in table))
    least = min(2, len(names))
    shown = [key for key in keys if sum(key in table for table in found.values()) >= least]
    drafts = [_draft(key, names, found) for key in shown]
    ratios = _ratios(drafts)
    texts = labels(shown)
    result = tuple(
        ComparedRow(
            key=key,
            label=texts[key],
            columns={
                run: Column(
                    records=tuple(records.values()),
                    saving=saved[run].get(key),
                    ratio=ratios.get((key, run)),
                )
                for run, records in columns.items()
            },
            pairs=pairs,
        )
        for key, columns, pairs in drafts
    )
    failed = {
        run: tuple(record for record in records if record.status != "ok")
        for run, records in runs.items()
    }
    notes = (*mismatches(runs, found), *_unlike_sources(result), *_doubts(result))
    return Comparison(names, result, notes, failed)


def finetune_s(record: RunRecord) -> float | None:
    """Return the seconds of the fine-tuning of `record`; None if they were not measured."""
    reading = record.main
    return None if reading is None else reading.duration_s


def machine_groups(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return name of the hardware -> its records; the software may differ within a group.

    GPUs of one kind are one group, as on the nodes of a cluster, where each has cells of its own.
    Where two have measured the same cell, which compares them, each is a group.
    """
    kinds: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        kinds.setdefault(machine_kind(record), []).append(record)
    found: dict[tuple[str, ...], list[RunRecord]] = {}
    for (name, *rest), group in kinds.items():
        apart = _measure_the_same(group)
        for record in group:
            own = boards(record) if apart else ()
            found.setdefault((name, *own, *rest), []).append(record)
    names = [identity[0] for identity in found]
    return {
        name if names.count(name) == 1 else f"{name} ({', '.join(filter(None, rest))})": group
        for (name, *rest), group in found.items()
    }


def machine_kind(record: RunRecord) -> tuple[str, ...]:
    """Return the device's name, then the facts that tell two devices of that name apart."""
    machine = record.machine
    host = f"{machine.get('cpu')}, {machine.get('logical_cores')} cores"
    name = record.protocol.device_name or str(machine.get("cpu"))
    used = {board.removeprefix("gpu:") for board in boards(record)}
    gpus = [gpu for gpu in machine.get("gpus") or () if gpu.get("id") in used]
    limits = sorted(f"{gpu.get('power_limit_w')} W" for gpu in gpus)
    return (name, *limits, host, f"{machine.get('ram_gib')} GiB")


def _measure_the_same(records: Iterable[RunRecord]) -> bool:
    """Whether two boards have measured the same cell."""
    found: dict[tuple[RowKey, int], set[tuple[str, ...]]] = {}
    for record in records:
        key = RowKey(record.model, record.method, setting(record))
        found.setdefault((key, record.seed), set()).add(boards(record))
    return any(len(several) > 1 for several in found.values())


_Draft = tuple[RowKey, dict[str, Row], dict[str, tuple[Pair, ...]]]


def _draft(key: RowKey, runs: Sequence[str], found: Mapping[str, Mapping[RowKey, Row]]) -> _Draft:
    """Return the records of a row per run, on common seeds if any, and pairs with the first run."""
    having = {run: found[run][key] for run in runs if key in found[run]}
    common = sorted(set.intersection(*(set(row) for row in having.values())))
    columns = {
        run: {seed: row[seed] for seed in common or sorted(row)} for run, row in having.items()
    }
    first = having.get(runs[0], {})
    pairs = {
        run: tuple((row[seed], first[seed]) for seed in columns[run] if seed in first)
        for run, row in having.items()
        if run != runs[0]
    }
    return key, columns, {run: found for run, found in pairs.items() if found}


def _ratios(drafts: Sequence[_Draft]) -> dict[tuple[RowKey, str], Estimate]:
    """Return (row, run) -> ratio to the first run, all at once because that is faster."""
    places = [(key, run, pairs) for key, _, found in drafts for run, pairs in found.items()]
    estimates = energy_ratios([pairs for _, _, pairs in places], "kwh")
    return {
        (key, run): estimate
        for (key, run, _), estimate in zip(places, estimates, strict=True)
        if estimate is not None
    }


def _unlike_sources(found: Iterable[ComparedRow]) -> list[str]:
    """Return one line per pair of energy sources that stand side by side."""
    unlike: dict[tuple[str, str, str], int] = {}
    for row in found:
        for run, pairs in row.pairs.items():
            sources = {(base.energy_source, record.energy_source) for record, base in pairs}
            for first, second in sources:
                if first != second:
                    unlike[run, first, second] = unlike.get((run, first, second), 0) + 1
    return [
        f"energy not compared in {count} rows: read by {first} in the first run, by {second} in "
        f"{run}"
        for (run, first, second), count in unlike.items()
    ]


def _doubts(found: Sequence[ComparedRow]) -> list[str]:
    """Return lines on other watts and arithmetics: within each run, and beside the first run."""
    named_rows = {f"{row.key}{f' ({row.label})' if row.label else ''}": row for row in found}
    runs = list(dict.fromkeys(run for row in found for run in row.columns))
    lines = []
    for run in runs:
        columns = {name: row.columns[run] for name, row in named_rows.items() if run in row.columns}
        saved = [one.saving for one in columns.values() if one.saving is not None]
        records = {name: one.records for name, one in columns.items()}
        lines += notes_within(run, records, [pair for one in saved for pair in one.pairs])
        pairs = {name: row.pairs[run] for name, row in named_rows.items() if run in row.pairs}
        lines += notes_between(run, pairs)
        moved = sensitivity_line(named(saved))
        lines += [] if moved is None else [f"{run}, {moved}" if len(runs) > 1 else moved]
    return lines


def _watts(record: RunRecord) -> float | None:
    reading = record.main
    return None if reading is None else reading.watts
