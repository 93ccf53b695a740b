"""Whether records that stand side by side share their arithmetic, and the watts they assume."""

from collections.abc import Iterable, Mapping, Sequence

from energybench.records.record import RunRecord

Pair = tuple[RunRecord, RunRecord]
"""A record and the one that it is compared with, as in `savings`, which imports this module."""


def boards(record: RunRecord) -> tuple[str, ...]:
    """Return the GPUs whose energy is in `record`: their domains."""
    reading = record.main
    return tuple(sorted(one for one in (reading.sources if reading else ()) if "gpu:" in one))


def arithmetics(records: Iterable[RunRecord]) -> str | None:
    """Return "bf16 (seed 0), tf32 (seed 1)" if seeds of one row differ in it; None if they agree.

    Records that do not know their arithmetic are left out.
    """
    seeds: dict[str, list[int]] = {}
    for record in records:
        if record.precision is not None:
            seeds.setdefault(record.precision, []).append(record.seed)
    if len(seeds) < 2:
        return None
    return ", ".join(
        f"{name} (seed{'s' if len(own) > 1 else ''} {', '.join(map(str, sorted(own)))})"
        for name, own in sorted(seeds.items())
    )


def assumed(record: RunRecord) -> str:
    """Return the assumptions behind the energy of `record`, as text."""
    return "watts not recorded" if record.assumptions is None else str(record.assumptions)


def other_watts(pairs: Iterable[Pair]) -> dict[tuple[str, str], int]:
    """Return (first record's assumptions, second's) -> number of pairs of unlike estimates."""
    found: dict[tuple[str, str], int] = {}
    for ours, theirs in pairs:
        if ours.estimated and theirs.estimated and ours.assumptions != theirs.assumptions:
            key = assumed(ours), assumed(theirs)
            found[key] = found.get(key, 0) + 1
    return found


def notes_within(
    run: str, rows: Mapping[str, Sequence[RunRecord]], saved: Iterable[Pair]
) -> list[str]:
    """Return notes on one run: its estimates against baselines of other watts, and mixed rows.

    `rows` maps the name of a row to its records; `saved` has each record with its baseline.
    """
    lines = [
        f"estimates of {run} with unlike watts in {_cells(count)}: {ours} | its baseline by "
        f"{theirs}"
        for (ours, theirs), count in other_watts(saved).items()
    ]
    mixed = {name: arithmetics(records) for name, records in rows.items()}
    return [
        *lines,
        *(f"several arithmetics in {run}: {name}: {text}" for name, text in mixed.items() if text),
    ]


def notes_between(run: str, rows: Mapping[str, Sequence[Pair]]) -> list[str]:
    """Return notes on `run` beside the first run: estimates of other watts, other arithmetics.

    `rows` maps the name of a row to pairs of `run`'s record and the first run's.
    """
    found = other_watts(pair for pairs in rows.values() for pair in pairs)
    lines = [
        f"estimates with unlike watts in {_cells(count)}: the first run by {theirs} | {run} by "
        f"{ours}"
        for (ours, theirs), count in found.items()
    ]
    for name, pairs in rows.items():
        lines += [
            f"unlike arithmetics: {name}: {theirs} in the first run, {ours} in {run}"
            for theirs, ours in sorted(_unlike_arithmetics(pairs))
        ]
    return lines


def _unlike_arithmetics(pairs: Iterable[Pair]) -> set[tuple[str, str]]:
    """Return (first run's arithmetic, this run's) where they differ though the same was asked."""
    return {
        (theirs.precision, ours.precision)
        for ours, theirs in pairs
        if theirs.precision is not None
        and ours.precision is not None
        and theirs.precision != ours.precision
        and theirs.protocol.precision == ours.protocol.precision
    }


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count > 1 else ''}"
