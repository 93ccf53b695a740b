"""Energies per call of several runs, test by test, and limits on how much worse one may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from energybench.records.calls import CallEnergy
from energybench.report.comparison import letters
from energybench.report.gate import Limit, Verdict
from energybench.report.missing import listed
from energybench.report.stats import MIN_PAIRS, TAIL, holm
from energybench.report.text import interval
from energybench.report.unpaired import UnpairedRatio, unpaired_ratio


@dataclass(frozen=True)
class ComparedTest:
    """One test, with the energy of its calls in each run that measured it."""

    name: str
    energies: dict[str, CallEnergy]
    """Run -> energy."""
    ratios: dict[str, UnpairedRatio]
    """Later run -> its joules over the first run's; only where both are known in one way."""
    first: str
    """The run that the others are compared with."""

    def is_short(self, run: str) -> bool:
        """Whether a window of either run is shorter than its meter resolves."""
        return any("short_window" in self.energies[one].flags for one in (self.first, run))


@dataclass(frozen=True)
class CallComparison:
    """Several runs, test by test; every later run is compared with the first."""

    runs: tuple[str, ...]
    tests: tuple[ComparedTest, ...]
    """The tests of a single run; of several runs, those that at least two of them have."""
    refusals: tuple[str, ...]
    """A line per two ways of knowing an energy that are not compared."""
    notes: tuple[str, ...]
    """A line per run with tests that no other has."""

    @property
    def letters(self) -> list[str]:
        """Short names of the runs, for headers."""
        return letters(len(self.runs))

    @property
    def comparable(self) -> bool:
        """Whether any test of the first run has a counterpart."""
        return any(test.ratios for test in self.tests)


def compare_calls(runs: Mapping[str, Mapping[str, CallEnergy]]) -> CallComparison:
    """Line up `runs` (label -> test -> energy per call) by the full names of the tests.

    An estimate is never compared with a measurement, nor are two sources with each other.
    """
    names = list(dict.fromkeys(name for found in runs.values() for name in found))
    counts = {name: sum(name in found for found in runs.values()) for name in names}
    first, *others = runs
    tests, refused = [], dict[tuple[str, str, str], list[str]]()
    for name in names:
        if counts[name] < min(2, len(runs)):
            continue
        energies = {run: found[name] for run, found in runs.items() if name in found}
        ratios = {}
        for run in others:
            ours, base = energies.get(run), energies.get(first)
            if ours is None or base is None:
                continue
            if ours.source != base.source:
                refused.setdefault((run, ours.source, base.source), []).append(name)
            elif ours.joules_per_call and base.joules_per_call:
                value = ours.joules_per_call / base.joules_per_call
                ratios[run] = unpaired_ratio(value, ours.repeats, base.repeats)
        tests.append(ComparedTest(name, energies, ratios, first))
    refusals = tuple(
        f"not compared: {listed(found)} ({first} is {theirs}, {run} is {ours}); measure both in "
        "one way"
        for (run, ours, theirs), found in refused.items()
    )
    notes = _unlike_watts(tests)
    for run, found in runs.items():
        alone = [name for name in found if counts[name] == 1]
        if alone and len(runs) > 1:
            notes.append(f"only in {run}: {listed(alone)}")
    return CallComparison(tuple(runs), tuple(tests), refusals, tuple(notes))


def _unlike_watts(tests: Sequence[ComparedTest]) -> list[str]:
    """Return a line per two assumptions between which estimates are compared."""
    unlike = dict[tuple[str, str], list[str]]()
    for test in tests:
        for run in test.ratios:
            ours, base = (test.energies[one] for one in (run, test.first))
            if ours.assumptions != base.assumptions:
                texts = tuple(one.assumptions or "watts not recorded" for one in (base, ours))
                unlike.setdefault((texts[0], texts[1]), []).append(test.name)
    return [
        f"estimates with unlike watts, {listed(names)}: {theirs} | now {ours}"
        for (theirs, ours), names in unlike.items()
    ]


def judge_calls(comparison: CallComparison, limits: Sequence[Limit]) -> Verdict:
    """Apply `limits` on `joules` to every run but the first.

    With five or more repeats on both sides a limit is exceeded when its p-value, one-sided and by
    Welch's t, is at most 0.025 after Holm's correction for all tests and limits that have one. With
    fewer it is exceeded when the ratio is, unless a window is shorter than its meter resolves: such
    a ratio says nothing alone.
    """
    places = [
        (limit, test, run, ratio)
        for limit in limits
        for test in comparison.tests
        for run, ratio in test.ratios.items()
    ]
    found = [ratio.p_beyond(1.0 + limit.allowed / 100.0) for limit, _, _, ratio in places]
    adjusted = iter(holm([p for p in found if p is not None]))
    offences, short = [], dict[Limit, list[str]]()
    for (limit, test, run, ratio), single in zip(places, found, strict=True):
        p = None if single is None else next(adjusted)
        if p is None and test.is_short(run):
            short.setdefault(limit, []).append(test.name)
        elif p <= TAIL if p is not None else 100.0 * (ratio.value - 1.0) > limit.allowed:
            offences.append(_line(limit, test, run, ratio, p))
    unknown = [
        f"{limit} not applied to {listed(names)}: windows shorter than the meters resolve; "
        f"--energy-repeats={MIN_PAIRS} decides"
        for limit, names in short.items()
    ]
    unjudged = [
        test.name for test in comparison.tests if set(comparison.runs[1:]) - set(test.ratios)
    ]
    unknown += [
        f"{limit} not applied to {listed(unjudged)}: not known" for limit in limits if unjudged
    ]
    return Verdict(tuple(offences), tuple(unknown))


def _line(limit: Limit, test: ComparedTest, run: str, ratio: UnpairedRatio, p: float | None) -> str:
    ends = interval(ratio.estimate, lambda end: f"{100.0 * (end - 1.0):+.2f}")
    change = f"{100.0 * (ratio.value - 1.0):+.2f} %{ends if p is not None else ''}"
    basis = f"{ratio.repeats} repeats" if ratio.repeats > 1 else "no repeats"
    if p is not None:
        basis += f", p {'< 0.001' if p < 0.001 else f'= {p:.2g}'} by Holm's correction"
    return f"{test.name} in {run}: joules {change}, limit {limit.allowed:g} % ({basis})"
