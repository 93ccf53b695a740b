"""Caveats of a section: what its reader must know before believing it."""

from collections.abc import Callable, Iterable

from energybench.energy.cpu_use import STEAL_SHARE
from energybench.records.epoch import UNEVEN
from energybench.records.metric import ACCURACY
from energybench.records.record import DATA_BOUND, RunRecord
from energybench.records.stopping import at_floor, capped
from energybench.registry import BASELINE
from energybench.report.boards import board_lines
from energybench.report.likeness import arithmetics, other_watts
from energybench.report.sections import Section
from energybench.report.sensitivity import named, sensitivity_line

_NAMED = 6
_APART = 1.25
"""Prefill and decoding measured apart differ by at most this factor from both together."""


def _worsened_by_training(record: RunRecord) -> bool:
    before = record.start.test if record.start else None
    if before is None or record.test is None:
        return False
    return record.test.metric.drop(before.value, record.test.value) > 0.0


_OF_RECORDS: tuple[tuple[str, Callable[[RunRecord], bool]], ...] = (
    (
        "script: the energy is that of a whole script; its metric is the last number that it "
        "logged, and its data, weights and protocol are known as far as it tells them",
        lambda record: record.script is not None,
    ),
    (
        "estimated: the energy is a formula of load and time, not a measurement",
        lambda record: record.estimated,
    ),
    (
        "no energy: a meter gave no reading",
        lambda record: record.status == "ok" and record.kwh is None,
    ),
    (
        "short window: what was measured was shorter than the meter resolves",
        lambda record: "short_window" in record.flags,
    ),
    (
        "throttled: power or temperature held the clocks down",
        lambda record: "throttled" in record.flags,
    ),
    (
        "contaminated: other programs computed on the GPU, or took more of the processors' time "
        "than the run allows",
        lambda record: "contaminated" in record.flags,
    ),
    (
        f"steal: a hypervisor gave over {100 * STEAL_SHARE:g} % of the processors' time to other "
        "virtual machines",
        lambda record: _stolen(record),
    ),
    (
        f"uneven: an epoch took over {UNEVEN:g} times its cell's median epoch",
        lambda record: "uneven" in record.flags,
    ),
    (
        "run again: an earlier attempt was disturbed",
        lambda record: bool(record.attempts),
    ),
    (
        f"data bound: the device waited for {{items}} in over {100 * DATA_BOUND:g} % "
        "of the training",
        lambda record: "data_bound" in record.flags,
    ),
    (
        "at the floor: the baseline stopped at its earliest possible epoch, so no method can save "
        "epochs",
        lambda record: record.method == BASELINE and at_floor(record),
    ),
    ("capped: the cap on epochs ended the training, not early stopping", capped),
    (
        "worse than before: fine-tuning ended worse on the test split than it began",
        _worsened_by_training,
    ),
    (
        "beyond tolerance: {worsened} by more than allowed",
        lambda record: record.within_tolerance is False,
    ),
    (
        "no effect: no setting was within the tolerance, so nothing was compressed",
        lambda record: bool(record.compression and record.compression.no_effect),
    ),
    (
        "cached baseline: compared with a baseline of an earlier run on this machine",
        lambda record: record.reference_source == "cache",
    ),
    (
        "new head: the classes differ from the weights', so the last layer was replaced",
        lambda record: record.weights.head_replaced,
    ),
)


def _stolen(record: RunRecord) -> bool:
    reading = record.main
    cpu = None if reading is None else reading.cpu
    return cpu is not None and cpu.steal_s > STEAL_SHARE * cpu.capacity_s


def caveats(section: Section) -> list[str]:
    """Return one line per caveat, with the names of its cells, or their number."""
    records = section.finished
    lines = []
    for text, applies in _OF_RECORDS:
        found = [record for record in records if applies(record)]
        if found:
            words = text.format(items=_items(found), worsened=_worsened(found))
            lines.append(f"{words} ({_cells(found, len(records))})")
    lines += [f"{record.status}: {_name(record)}: {record.error}" for record in section.failed]
    lines += _estimate_notes(section)
    lines += _arithmetic_notes(section)
    lines += _compression_notes(records)
    lines += board_lines(records)
    lines += _of_studies(section)
    return [*lines, *section.notes]


def _items(records: Iterable[RunRecord]) -> str:
    return " and ".join(dict.fromkeys(record.dataset.items for record in records))


def _worsened(records: Iterable[RunRecord]) -> str:
    """Return "the accuracy dropped", "the rmse rose", or both."""
    metrics = (record.metric or ACCURACY for record in records)
    return " or ".join(dict.fromkeys(metric.worsened for metric in metrics))


def _of_studies(section: Section) -> list[str]:
    studies = section.studies
    if not studies:
        return []
    lines = []
    if any(one.estimated for one in studies):
        lines.append(
            "estimated: joules of steps, answers and operating points are a formula of load and "
            "time"
        )
    if section.intensities:
        lines.append("estimated: bytes per step, as if no cache held anything")
    lines += [
        f"not as expected: {one.name}: {one.found}"
        + (f", expected: {one.expected}" if one.expected else "")
        for one in section.checks
        if one.held is False
    ]
    flags = sorted({flag for one in studies for flag in one.flags})
    lines += [f"{flag.replace('_', ' ')}: in steps, answers or operating points" for flag in flags]
    return [*lines, *_disagreeing(section)]


def _disagreeing(section: Section) -> list[str]:
    """Return a line on answers whose prefill and decoding do not add up to them."""
    found = {
        f"{one.model} {one.method} seed {one.seed} at batch {size}": ratio
        for one in section.generations
        for size, ratio in one.apart_over_together.items()
        if not 1.0 / _APART <= ratio <= _APART
    }
    if not found:
        return []
    ends = dict.fromkeys(f"{one:.2f}" for one in (min(found.values()), max(found.values())))
    names = ", ".join([*found][:_NAMED]) + (" and more" if len(found) > _NAMED else "")
    return [
        f"noise in answers: prefill and decoding apart took {' to '.join(ends)} times as much as "
        f"together ({names})"
    ]


def _estimate_notes(section: Section) -> list[str]:
    """Return how the savings move under other watts, and where they rest on unlike ones."""
    line = sensitivity_line(named(section.known))
    pairs = [pair for saving in section.known for pair in saving.pairs]
    return [
        *([] if line is None else [line]),
        *(
            f"estimates with unlike watts: {ours} | the baseline by {theirs}"
            for ours, theirs in other_watts(pairs)
        ),
    ]


def _arithmetic_notes(section: Section) -> list[str]:
    found = [(key, arithmetics(row.values())) for key, row in section.rows.items()]
    return [f"several arithmetics in one row: {key}: {text}" for key, text in found if text]


def _compression_notes(records: Iterable[RunRecord]) -> list[str]:
    by_note: dict[str, list[RunRecord]] = {}
    for record in records:
        for note in record.compression.notes if record.compression else ():
            by_note.setdefault(note, []).append(record)
    return [f"compression: {note} ({_cells(found)})" for note, found in by_note.items()]


def _cells(records: list[RunRecord], of: int | None = None) -> str:
    if of is not None and len(records) == of:
        return "all cells"
    names = ", ".join(_name(record) for record in records[:_NAMED])
    rest = len(records) - _NAMED
    return f"{names} and {rest} more" if rest > 0 else names


def _name(record: RunRecord) -> str:
    return f"{record.model} {record.method} seed {record.seed}"
