"""Whether records that stand side by side share their arithmetic, and the watts they assume."""

from collections.abc import Iterable

from energybench.records.record import RunRecord

Pair = tuple[RunRecord, RunRecord]


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
