"""GPUs of one kind side by side: how far they lie apart, and savings that they cannot give."""

from collections.abc import Iterable
from statistics import fmean

from energybench.records.record import RunRecord
from energybench.report.likeness import boards
from energybench.report.rows import rows

_NAMED = 3
"""The most cells that one line names."""


def board_lines(records: Iterable[RunRecord]) -> list[str]:
    """Return a line on the spread between GPUs, and one on cells without a saving; or neither."""
    records = [record for record in records if record.status == "ok"]
    lines = [_spread(records), _other_boards(records)]
    return [line for line in lines if line is not None]


def _spread(records: list[RunRecord]) -> str | None:
    """Return how far the GPUs' energies per item lie apart, in equal cells of several seeds.

    Seeds differ in the order of the batches, so that their energy per item compares the GPUs.
    """
    spreads: list[float] = []
    found: set[tuple[str, ...]] = set()
    for row in rows(records).values():
        joules: dict[tuple[str, ...], list[float]] = {}
        for record in row.values():
            if boards(record) and record.joules_per_1000_items is not None:
                joules.setdefault(boards(record), []).append(record.joules_per_1000_items)
        means = [fmean(values) for values in joules.values()]
        if len(means) > 1 and fmean(means) > 0:
            spreads.append((max(means) - min(means)) / fmean(means))
            found.update(joules)
    if not spreads:
        return None
    return (
        f"{len(found)} GPUs of this kind: their energy per item differs by "
        f"{100 * fmean(spreads):.1f} % in the mean, by {100 * max(spreads):.1f} % at most, over "
        f"{len(spreads)} rows of equal cells"
    )


def _other_boards(records: list[RunRecord]) -> str | None:
    """Name the cells whose GPU is another one than their baseline's.

    A block of a cluster goes on elsewhere when its node has died.
    """
    known = {record.id: record for record in records if record.id is not None}
    others = [
        f"{record.model} {record.method} seed {record.seed}"
        for record in records
        if record.reference_id in known and boards(record) != boards(known[record.reference_id])
    ]
    if not others:
        return None
    more = len(others) - _NAMED
    named = ", ".join(others[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"no saving of {named}: the baseline ran on another GPU"
