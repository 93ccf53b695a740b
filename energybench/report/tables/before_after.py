"""The table of what fine-tuning did: loss and metric of the weights before it, and at best."""

from collections.abc import Callable, Sequence
from statistics import fmean

from energybench.records.record import EpochRecord, RunRecord, Start
from energybench.report.scores import ScoreColumn, score_column
from energybench.report.sections import Section
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import number

_ARROW = " → "


def before_after_table(section: Section) -> Table:
    """Return a table of epoch 0 beside the best epoch, as means over the seeds.

    A row needs a seed that recorded its start; the table may be empty.
    """
    labelled = any(section.labels.values())
    score = score_column(section.finished)
    headers = ["model", "method", *(["setting"] if labelled else []), "seeds"]
    headers += [
        "validation loss: pretrained, compressed, best",
        f"validation {score.header}: pretrained, compressed, best",
        f"test {score.header}: compressed, fine-tuned",
    ]
    rows = []
    for key, row in section.rows.items():
        started = [one for one in row.values() if one.start is not None and _best(one) is not None]
        if started:
            label = [section.labels[key]] if labelled else []
            rows.append((key.model, key.method, *label, *_course(started, score)))
    first = 3 if labelled else 2
    return Table(tuple(headers), tuple(rows), frozenset(range(first, len(headers))))


def _best(record: RunRecord) -> EpochRecord | None:
    return next((one for one in record.epochs if one.epoch == record.best_epoch), None)


def _course(records: Sequence[RunRecord], score: ScoreColumn) -> tuple[str, ...]:
    both = [(record.start, best) for record in records if record.start and (best := _best(record))]
    metric = records[0].metric

    def over(read: Callable[[Start, EpochRecord], float]) -> float:
        return fmean(read(start, best) for start, best in both)

    losses = (
        over(lambda start, best: start.pretrained.loss),
        over(lambda start, best: start.compressed.loss),
        over(lambda start, best: best.validation_loss),
    )
    values = (
        over(lambda start, best: start.pretrained.value),
        over(lambda start, best: start.compressed.value),
        over(lambda start, best: best.validation_metric),
    )
    tested = [
        (one.start.test.value, one.value)
        for one in records
        if one.start and one.start.test and one.value is not None
    ]
    ends = [fmean(column) for column in zip(*tested, strict=True)]
    return (
        str(len(records)),
        _ARROW.join(number(one) for one in losses),
        _ARROW.join(score.value(metric, one) for one in values),
        _ARROW.join(score.value(metric, one) for one in ends) or "-",
    )
