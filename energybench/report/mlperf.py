"""What a record shows of the power rules of MLPerf Training.

The rules are `power_measurement.adoc` of https://github.com/mlcommons/training_policies, as of
2026-05-14; the dropping of the best and the worst run is `training_rules.adoc` there, "Benchmark
Results". MLPerf Inference has no numbers of its own: its workflow and its analyzers are prescribed
(`power_measurement.adoc` of mlcommons/inference_policies), and nothing else may be submitted. A
record is no submission; what it does not hold must be shown in another way.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from energybench.energy.coverage import kind_of
from energybench.energy.readings import PowerTrace
from energybench.energy.units import format_joules
from energybench.records.record import RunRecord

State = Literal["pass", "fail", "cannot know"]
MOST_S = 1.05
"""Seconds between two readings: the rules' one second, and 5 % for the timer, which are ours."""
LEAST_SAMPLES = 60
LEAST_RUNS = 3
"""Fewer runs leave none when the best and the worst are dropped. The rules ask for more, by
benchmark."""
_WALL = "wall"
"""The kind of a domain that is the whole machine."""


@dataclass(frozen=True)
class Finding:
    """One rule, and what the record shows of it."""

    rule: str
    state: State
    text: str


@dataclass(frozen=True)
class Checked:
    """A cell, or several runs of one, with a finding per rule."""

    name: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Timed:
    """The readings of a trace that cover fine-tuning, the timed portion of a run."""

    start_s: float
    """Seconds since the trace began."""
    end_s: float
    times_s: tuple[float, ...]
    """Ends of the readings; the first is that of the reading before them, 0 where there is none."""
    watts: tuple[float | None, ...]
    """Power of the whole, one fewer than `times_s`; None where a domain could not be read."""

    @property
    def joules(self) -> float | None:
        """Sum of each reading times the seconds since the reading before it (rules, "Scoring")."""
        found = 0.0
        for watts, (before, after) in zip(self.watts, pairwise(self.times_s), strict=True):
            if watts is None:
                return None
            found += watts * (after - before)
        return found


def check_mlperf(records: Iterable[RunRecord]) -> list[Checked]:
    """Each cell, and after the cells of one model and method their score as several runs."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.model, record.method), []).append(record)
    checked = []
    for (model, method), cells in groups.items():
        for record in cells:
            name = f"{model} {method} seed {record.seed}"
            checked.append(Checked(name, tuple(rule(record) for rule in _RULES)))
        checked.append(Checked(f"{model} {method}, all runs", (_score_of_runs(cells),)))
    return checked


def timed(record: RunRecord) -> Timed | str:
    """The readings over fine-tuning, or why the record does not tell them."""
    trace, reading = record.trace, record.main
    if reading is None:
        return "the cell never came to its fine-tuning"
    if trace is None:
        return "the record has no samples of power; measure with --energy-trace"
    if len(record.spans.get(record.main_phase, [])) > 1 or record.main_phase not in trace.marks:
        return "its fine-tuning was paused or resumed, so its samples are not told apart"
    if not all(earlier < later < math.inf for earlier, later in pairwise([0.0, *trace.time_s])):
        return "the times of its samples do not rise"
    start = trace.marks[record.main_phase]
    end = start + reading.duration_s
    before = [0.0, *trace.time_s]
    places = [
        place
        for place, (earlier, later) in enumerate(pairwise(before))
        if later > start and earlier < end
    ]
    if not places:
        return "no sample of power is within its fine-tuning"
    times = before[places[0] : places[-1] + 2]
    return Timed(start, end, tuple(times), tuple(_watts(trace, place) for place in places))


def _watts(trace: PowerTrace, place: int) -> float | None:
    """The power of one sample: of the whole machine alone where that is read."""
    whole = [name for name in trace.watts if kind_of(name) == _WALL] or list(trace.watts)
    known = [
        watts
        for name in whole
        if place < len(trace.watts[name]) and (watts := trace.watts[name][place]) is not None
    ]
    return sum(known) if known and len(known) == len(whole) else None


def _rate(record: RunRecord) -> Finding:
    rule = "one measurement a second"
    found = timed(record)
    if isinstance(found, str):
        return Finding(rule, "fail", f"not met: {found}")
    longest = max(after - before for before, after in pairwise(found.times_s))
    text = f"{len(found.watts)} samples, at most {longest:.2f} s apart"
    if longest > MOST_S:
        return Finding(rule, "fail", f"not met: {text}")
    return Finding(rule, "pass", text)


def _samples(record: RunRecord) -> Finding:
    rule = f"a whole run, {LEAST_SAMPLES} samples or more"
    found = timed(record)
    if isinstance(found, str):
        return Finding(rule, "fail", f"not met: {found}")
    text = f"{len(found.watts)} samples over {found.end_s - found.start_s:.1f} s"
    if found.times_s[-1] < found.end_s:
        return Finding(rule, "fail", f"not met: {text}, which end before fine-tuning does")
    if len(found.watts) < LEAST_SAMPLES:
        return Finding(rule, "fail", f"not met: {text}; train on more items, or for more epochs")
    return Finding(rule, "pass", text)


def _node(record: RunRecord) -> Finding:
    rule = "the whole node, at its power supply"
    reading = record.main
    domains = [] if reading is None else list(reading.sources)
    if not domains:
        return Finding(rule, "fail", "not met: no domain was read")
    kinds = ", ".join(sorted({kind_of(domain) for domain in domains}))
    if _WALL in {kind_of(domain) for domain in domains}:
        return Finding(rule, "pass", f"read by {record.energy_source}")
    return Finding(
        rule, "fail", f"not met: {kinds} by {record.energy_source} are parts of the node"
    )


def _all_nodes(record: RunRecord) -> Finding:
    rule = "all nodes"
    nodes = _nodes(record)
    reading = record.main
    if reading is None or reading.it_joules is None:
        why = "no fine-tuning" if reading is None else reading.why_missing
        return Finding(rule, "fail", f"not met: {why}")
    return Finding(rule, "pass", f"{nodes} of {nodes}")


def _interconnect(record: RunRecord) -> Finding:
    rule = "interconnects"
    if _nodes(record) == 1:
        return Finding(rule, "pass", "one node has none")
    return Finding(rule, "cannot know", "not met: the record has no power of the network")


def _accuracy(record: RunRecord) -> Finding:
    rule = "a power meter within 5 %"
    reading = record.main
    kinds = {} if reading is None else {name: reading.kind(name) for name in reading.sources}
    unmeasured = sorted({kind for kind in kinds.values() if kind != "measured"})
    if not kinds or unmeasured:
        told = f"{record.energy_source} is {' and '.join(unmeasured) or 'no source'}, not measured"
        return Finding(rule, "fail", f"not met: {told}")
    return Finding(
        rule,
        "cannot know",
        "not met: the record holds no certificate of the meter, nor its comparison with a "
        "certified one",
    )


def _energy(record: RunRecord) -> Finding:
    rule = "energy of the run"
    found = timed(record)
    if isinstance(found, str):
        return Finding(rule, "fail", f"not met: {found}")
    if found.joules is None:
        return Finding(rule, "fail", "not met: a sample of power could not be read")
    return Finding(rule, "pass", f"{format_joules(found.joules)}, the sum of power x seconds")


def _score_of_runs(records: Sequence[RunRecord]) -> Finding:
    """The mean of the runs' energies without those of the fastest and of the slowest run.

    The rules take the runs that count for the time also for the power.
    """
    rule = "score, without the fastest and the slowest run"
    scored = list(_scored(records))
    if len(scored) < len(records):
        lacking = len(records) - len(scored)
        return Finding(
            rule, "fail", f"not met: {lacking} of {len(records)} runs have no sum of samples"
        )
    if len(scored) < LEAST_RUNS:
        return Finding(
            rule,
            "fail",
            f"not met: {len(scored)} of at least {LEAST_RUNS} runs; raise --energy-seeds",
        )
    middle = [joules for _, joules in sorted(scored)[1:-1]]
    mean = sum(middle) / len(middle)
    return Finding(rule, "pass", f"{format_joules(mean)}, the mean of {len(middle)} runs")


def _scored(records: Iterable[RunRecord]) -> Iterator[tuple[float, float]]:
    """Seconds and joules of each run that has both."""
    for record in records:
        found = timed(record)
        if not isinstance(found, str) and found.joules is not None:
            yield found.end_s - found.start_s, found.joules


def _nodes(record: RunRecord) -> int:
    return 1 if record.placement is None else max(1, len(set(record.placement.nodes)))


_RULES: tuple[Callable[[RunRecord], Finding], ...] = (
    *(_rate, _samples, _energy, _node, _all_nodes, _interconnect, _accuracy),
)
