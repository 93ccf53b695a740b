"""The table of cells at the end of a run."""

from collections.abc import Iterable, Mapping

from energybench.config import OBSERVED
from energybench.energy.units import format_co2e, format_kwh, format_seconds
from energybench.records.record import RunRecord
from energybench.records.verdict import failure_text, undecided
from energybench.registry import BASELINE, METHODS, base_name
from energybench.report.floor import Floor, floor, shown_saving
from energybench.report.scores import ScoreColumn, score_column
from energybench.report.stats import Estimate
from energybench.report.tables.fitted import fitted, said
from energybench.report.tables.token_columns import TOKEN_COLUMNS, token_columns
from energybench.report.text import attempt_words, number, percent, status_text

_HEADERS = (
    "model",
    "method",
    "seed",
    "energy",
    "saving",
    "with search",
    "epochs",
    "time",
    "metric",
    "drop",
    "freed",
    "source",
)
_CARBON = "CO2e"
_AFTER_ENERGY = _HEADERS.index("energy") + 1
_METRIC = _HEADERS.index("metric")
_CPU = "CPU time"
_TOKENS = tuple(one.header for one in TOKEN_COLUMNS)
_LEAST = (
    *reversed(_TOKENS),
    "freed",
    "with search",
    _CPU,
    _CARBON,
    "epochs",
    "time",
    "drop",
    "source",
)
"""Columns that a narrow terminal can do without, the least important first."""


def result_table(
    records: Iterable[RunRecord],
    layout: str = "simple",
    cached: Mapping[tuple[str, int], RunRecord] | None = None,
    gate: str = OBSERVED,
    width: int | None = None,
) -> str:
    """Return a table as text with one row per record, models in the order of `records`.

    "energy" is the facility energy of fine-tuning, "CO2e" its emissions if a country was named.
    "saving" compares the energy with the baseline of the same model and seed among `records`; "with
    search" includes the method's own search in both; a cell that did not finish has neither. A
    saving within the noise floor of the repeated baselines among `records` is "none (±6 %)", see
    `floor.shown_saving`. "CPU time" stands beside energies that are estimates. `layout` is one of
    tabulate's table formats: `simple`, `github`, `tsv`... `cached` are baselines of earlier runs by
    (model, seed); savings against cached baselines are marked. `gate` is the gate of the run: drops
    that are undecided under it are marked. Language models have `TOKEN_COLUMNS`, too. A table that
    would be wider than `width` characters has fewer columns, and a line that names them; with a
    `width`, errors stand below the table.
    """
    records = _in_order(records)
    baselines = {
        (record.model, record.seed): record
        for record in records
        if record.method == BASELINE and record.status == "ok"
    }
    earlier = cached or {}
    score, noise = score_column(records), floor(records)
    rows = []
    for record in records:
        key = record.model, record.seed
        baseline = baselines.get(key) or earlier.get(key)
        rows.append(_row(record, score, noise, baseline, key not in baselines, gate))
        if width is not None and record.status != "ok":
            rows[-1][-1] = record.status
    headers = list(_HEADERS)
    headers[_METRIC] = score.header
    tokens, place = token_columns(records), _HEADERS.index("freed")
    headers[place:place] = [one.header for one in tokens]
    for row, record in zip(rows, records, strict=True):
        row[place:place] = [number(one.value(record)) for one in tokens]
    if any(record.carbon for record in records):
        headers.insert(_AFTER_ENERGY, _CARBON)
        for row, record in zip(rows, records, strict=True):
            row.insert(_AFTER_ENERGY, format_co2e(record.kg_co2e))
    if any(record.estimated for record in records):
        headers.insert(_AFTER_ENERGY, _CPU)
        for row, record in zip(rows, records, strict=True):
            row.insert(_AFTER_ENERGY, format_seconds(record.cpu_s))
    sides = [*["left"] * 2, *["right"] * (len(headers) - 3), "left"]
    least = [*_LEAST, *(["seed"] if len({one.seed for one in records}) == 1 else [])]
    least.insert(least.index("time"), score.header)
    text, left_out = fitted(headers, rows, sides, layout, width, least)
    lines = [failure_text(one) or "" for one in records if one.status != "ok" and width]
    if "source" in left_out:
        lines.append(f"source: {', '.join(sorted({one.energy_source for one in records}))}")
    return "\n".join([text, *lines, *said(left_out, width)])


def _in_order(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Sort `records` by model, seed and method, since the run shuffled the methods."""
    records = list(records)
    models = list(dict.fromkeys(record.model for record in records))
    methods = METHODS.names()

    def key(record: RunRecord) -> tuple[int, int, list[int], str]:
        names = map(base_name, record.method.split("+"))
        parts = [methods.index(name) for name in names if name in methods]
        return models.index(record.model), record.seed, [len(parts), *parts], record.method

    return sorted(records, key=key)


def _row(
    record: RunRecord,
    score: ScoreColumn,
    noise: Floor | None,
    baseline: RunRecord | None,
    from_cache: bool,
    gate: str,
) -> list[str]:
    reading = record.main
    saving = with_search = "-"
    other = baseline if baseline is not record else None
    finished = record.status == "ok" and other is not None and other.status == "ok"
    if finished and other is not None and other.energy_source == record.energy_source:
        mark = " (cached)" if from_cache else ""
        saving = _saving(record.kwh, other.kwh, noise) + mark
        with_search = _saving(record.kwh_total, other.kwh_total, noise) + mark
    rate = record.compression.compression_rate if record.compression else None
    no_effect = record.compression is not None and record.compression.no_effect
    return [
        record.model,
        record.method + _arithmetic(record) + (" (no effect)" if no_effect else ""),
        str(record.seed),
        format_kwh(record.kwh),
        saving,
        with_search,
        number(record.epoch_count),
        format_seconds(reading.duration_s if reading else None),
        score.value(record.metric, record.value),
        score.drop(record.metric, record.drop)
        + (" (undecided)" if undecided(record, gate) else ""),
        percent(rate),
        _source(record),
    ]


def _arithmetic(record: RunRecord) -> str:
    """Return the arithmetic that the method chose, if it differs from the run's own."""
    own = record.protocol.precision
    return f" [{record.precision}]" if record.precision not in (None, own) else ""


def _source(record: RunRecord) -> str:
    """Return the source of the energy, the flags and the attempt; for a failed cell the error."""
    if record.status != "ok":
        return status_text(record)
    return ", ".join([record.energy_source, *record.flags, *attempt_words([record])])


def _saving(energy: float | None, baseline: float | None, noise: Floor | None) -> str:
    if not energy or not baseline:
        return "-"
    return shown_saving(Estimate(energy / baseline, None, None, 1), noise)
