"""How a saving moves when the watts behind an estimated energy are others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from energybench.energy.coverage import kind_of
from energybench.energy.units import kwh
from energybench.records.record import RunRecord
from energybench.report.rows import labels
from energybench.report.savings import Pair, Saving, savings

NAMED = 3
"""The most savings that are named one by one; of more, the range is told."""


@dataclass(frozen=True)
class Scenario:
    """Other watts of what a formula estimates."""

    name: str
    words: str
    factors: Mapping[str, float]
    """Kind of domain (`cpu`, `dram`) -> factor on its watts, and so on its joules."""


SCENARIOS = (
    Scenario("memory 0 W", "with memory at 0 W", {"dram": 0.0}),
    Scenario("processor x2", "with the processor at twice its watts", {"cpu": 2.0}),
)


def savings_under(saving: Saving) -> dict[str, float]:
    """Return name of a scenario -> share of `kwh` saved under it; empty for a measured energy.

    A scenario is left out unless it changes some joules of both records of every pair, and leaves
    some: a factor on all of the energy moves no saving.
    """
    if saving.energy is None:
        return {}
    found = {one.name: _saved(saving.pairs, one.factors) for one in SCENARIOS}
    return {name: saved for name, saved in found.items() if saved is not None}


def estimate_line(records: Iterable[RunRecord]) -> str | None:
    """Return `sensitivity_line` of the savings in `records`; of a repeated cell the last counts."""
    return sensitivity_line(named(savings(records)))


def sensitivity_line(found: Sequence[tuple[str, Saving]]) -> str | None:
    """Return one line on how the named savings move; None where no energy is an estimate.

    Up to `NAMED` savings stand one by one: "stego saves +31.0 % [memory 0 W: +29.0 %]". Of more
    the line has the range of the change in percentage points, and which savings change their sign.
    """
    moved = [(name, one.saved or 0.0, savings_under(one)) for name, one in found]
    moved = [(name, saved, under) for name, saved, under in moved if under]
    if not moved:
        return None
    if len(moved) <= NAMED:
        return f"estimate: {'; '.join(_clause(*one) for one in moved)}"
    clauses, turned = [], []
    for scenario in SCENARIOS:
        own = [
            (name, s, under[scenario.name]) for name, s, under in moved if scenario.name in under
        ]
        if own:
            changes = [100 * (after - before) for _, before, after in own]
            clauses.append(f"by {min(changes):+.1f} to {max(changes):+.1f} pp {scenario.words}")
            turned += [name for name, before, after in own if (before > 0) != (after > 0)]
    signs = f"; the sign changes for {', '.join(dict.fromkeys(turned))}" if turned else ""
    return f"estimate: {len(moved)} savings move {', '.join(clauses)}{signs}"


def named(found: Sequence[Saving]) -> list[tuple[str, Saving]]:
    """Return each saving named by its method, and by its model and setting where these vary."""
    several = len({one.model for one in found}) > 1
    settings = labels(one.key for one in found)
    return [
        (
            (f"{one.model} " if several else "")
            + one.method
            + (f" ({settings[one.key]})" if settings[one.key] else ""),
            one,
        )
        for one in found
    ]


def _clause(name: str, saved: float, under: Mapping[str, float]) -> str:
    others = ", ".join(f"{scenario}: {100 * share:+.1f} %" for scenario, share in under.items())
    return f"{name} saves {100 * saved:+.1f} % [{others}]"


def _saved(pairs: Sequence[Pair], factors: Mapping[str, float]) -> float | None:
    ratios = []
    for ours, theirs in pairs:
        above, below = _kwh(ours, factors), _kwh(theirs, factors)
        if above is None or below is None:
            return None
        ratios.append(above / below)
    return 1.0 - geometric_mean(ratios)


def _kwh(record: RunRecord, factors: Mapping[str, float]) -> float | None:
    """Return `record.kwh` under `factors`; None if that changes nothing, or leaves nothing."""
    reading = record.main
    if reading is None or reading.it_joules is None:
        return None
    known = {domain: joules or 0.0 for domain, joules in reading.joules.items()}
    scaled = [
        domain for domain in known if kind_of(domain) in factors and _is_formula(record, domain)
    ]
    of_scaled = sum(known[domain] for domain in scaled)
    rest = sum(known[domain] for domain in known if domain not in scaled)
    if of_scaled <= 0.0 or rest <= 0.0:
        return None
    changed = sum(known[domain] * factors[kind_of(domain)] for domain in scaled)
    return kwh(rest + changed, record.pue)


def _is_formula(record: RunRecord, domain: str) -> bool:
    """Return whether watts that were assumed, not a counter of the estimator's, gave the joules."""
    if record.main is None or record.main.kind(domain) != "estimated":
        return False
    assumed = record.assumptions
    if assumed is None:
        return True
    watts = {"cpu": assumed.cpu_watts, "dram": assumed.ram_watts}
    return watts.get(kind_of(domain)) is not None
