"""The tables of a report, for the page and for Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from energybench.energy.units import format_kwh, format_seconds, kwh
from energybench.records.attempt import DISTURBANCES
from energybench.records.record import RunRecord
from energybench.report.comparison import finetune_s
from energybench.report.factors import NAMES
from energybench.report.paper import Judgement
from energybench.report.quoting import text_table
from energybench.report.rows import RowKey
from energybench.report.savings import Saving
from energybench.report.scores import ScoreColumn, score_column
from energybench.report.sections import Section
from energybench.report.stats import mean_of_all
from energybench.report.text import BEYOND, attempt_words, number, percent, times


@dataclass(frozen=True)
class Table:
    """A table whose cells are texts."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int]
    """Indices of the columns that hold numbers and are aligned to the right."""
    caption: str = ""
    """Sentences on how to read it; they stand below the table."""

    def markdown(self) -> str:
        """Return the table in Markdown, as for a README."""
        sides = ["right" if i in self.numbers else "left" for i in range(len(self.headers))]
        return text_table(self.rows, self.headers, "github", sides)


def result_table(section: Section) -> Table:
    """Return a table with one row per model, method and setting, as means over the seeds.

    "to target" is the energy until a cell was as good as its baseline, see `records.target`; it is
    there if a record has it.
    """
    labelled = any(section.labels.values())
    targets = any(one.target is not None for one in section.finished)
    headers = ["model", "method", *(["setting"] if labelled else []), "seeds", "energy", "saving"]
    score = score_column(section.finished)
    if section.estimated:
        headers.insert(headers.index("energy") + 1, "CPU time")
    headers += ["with search", *(["to target"] if targets else []), "epochs", "time"]
    headers += [score.header, "drop", "freed", "note"]
    rows = [_result(section, key, labelled, targets, score) for key in section.rows]
    first = 3 if labelled else 2
    return Table(tuple(headers), tuple(rows), frozenset(range(first, len(headers) - 1)))


def _result(
    section: Section, key: RowKey, labelled: bool, targets: bool, score: ScoreColumn
) -> tuple[str, ...]:
    records = list(section.rows[key].values())
    found = section.savings.get(key)
    rates = [one.compression.compression_rate for one in records if one.compression]
    metric = records[0].metric
    return (
        key.model,
        key.method + _arithmetic(records),
        *([section.labels[key]] if labelled else []),
        str(len(records)),
        format_kwh(mean_of_all([record.kwh for record in records])),
        *(
            [format_seconds(mean_of_all([one.cpu_s for one in records]))]
            if section.estimated
            else []
        ),
        found.text if found else "-",
        found.text_with_search if found else "-",
        *([_to_target(records)] if targets else []),
        number(mean_of_all([record.epoch_count for record in records])),
        format_seconds(mean_of_all([finetune_s(record) for record in records])),
        score.value(metric, mean_of_all([record.value for record in records])),
        score.mean_drop(metric, found.drop if found else None)
        + (f" {BEYOND}" if found and found.beyond else ""),
        percent(fmean(rates)) if rates else "-",
        "; ".join(_notes(records, found)),
    )


def _to_target(records: Sequence[RunRecord]) -> str:
    """Return the mean facility energy until the target: "41 mWh (3 of 5 seeds)", "not reached"."""
    aimed = [(one.target, one.pue) for one in records if one.target is not None]
    reached = [(target, pue) for target, pue in aimed if target.epoch is not None]
    if not reached:
        return "not reached" if aimed else "-"
    known = [kwh(one.joules, pue) for one, pue in reached if one.joules is not None]
    part = f" ({len(reached)} of {len(aimed)} seeds)" if len(reached) < len(aimed) else ""
    return f"{format_kwh(mean_of_all(known) if len(known) == len(reached) else None)}{part}"


def _notes(records: Sequence[RunRecord], found: Saving | None) -> list[str]:
    """Return the saving's phrases of caution, the disturbances, and further attempts."""
    notes = list(found.flags) if found else []
    for flag in DISTURBANCES:
        count = sum(flag in record.flags for record in records)
        if count:
            notes.append(
                flag + (f" in {count} of {len(records)} seeds" if len(records) > 1 else "")
            )
    return notes + attempt_words(records)


def _arithmetic(records: Sequence[RunRecord]) -> str:
    """Return the arithmetics that the method chose, if they differ from the run's own."""
    chosen = {one.precision for one in records} - {one.protocol.precision for one in records}
    return f" [{', '.join(sorted(map(str, chosen)))}]" if chosen - {None} else ""


def why_table(section: Section) -> Table:
    """Return a table of ratios of energies as products of factors, with shares of the log ratio."""
    rows = []
    for one in section.known:
        rows.append(_why(section, one, one.base))
        if one.control is not None:
            rows.append(_why(section, one, one.control))
    headers = ("model", "method", "over", "energy", *NAMES)
    return Table(headers, tuple(rows), frozenset(range(3, len(headers))))


def _why(section: Section, one: Saving, over: str) -> tuple[str, ...]:
    against_base = over == one.base
    ratio = one.energy if against_base else one.against_control
    found = one.factors if against_base else one.control_factors
    label = section.labels[one.key]
    return (
        one.model,
        f"{one.method} ({label})" if label else one.method,
        over,
        times(ratio),
        *(("-",) * len(NAMES) if found is None else found.texts),
    )


def claim_table(found: Sequence[Judgement], about: str = "the paper") -> Table:
    """Return a table of claims beside the findings of the run; `about` heads the claims."""
    rows = tuple((one.claim.text, one.verdict, one.reason, one.found) for one in found)
    return Table((about, "here", "because", "found"), rows, frozenset())
