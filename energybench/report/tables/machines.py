"""The table of machines by methods: what each method saved on each machine that has measured it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from energybench.report.rows import RowKey, labels, method_rank
from energybench.report.savings import Saving, core
from energybench.report.sections import Section
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import BEYOND

TITLE = "Machines by methods"
_CAPTION = (
    "Energy of fine-tuning saved against the machine's own baseline, each method in its first "
    "setting. Machines below one name had the same model, data, weights and protocol. What an "
    "estimate tells is no measurement."
)


@dataclass
class _Line:
    """One section's savings on one model."""

    section: Section
    savings: dict[str, Saving] = field(default_factory=dict)


def machine_table(found: Sequence[Section]) -> Table | None:
    """Return savings with a row per model and machine and a column per method.

    None where one machine alone has any, and nobody has contributed its run.
    """
    groups = _groups(found)
    with_savings = [line.section for lines in groups.values() for line in lines]
    contributed = any(section.contributed_by for section in with_savings)
    if len({section.machine for section in with_savings}) < 2 and not contributed:
        return None
    methods = sorted(
        {method for lines in groups.values() for line in lines for method in line.savings},
        key=method_rank,
    )
    on_data = {key: key._replace(method=str(dict(key.setting)["data"])) for key in groups}
    several = labels(on_data.values())
    rows = []
    for key, lines in groups.items():
        own = on_data[key]
        label = f" ({several[own]})" if several[own] else ""
        rows += [
            _row(f"{own.model}, {own.method}{label}", line, methods, contributed) for line in lines
        ]
    headers = ("model", "machine", *(["by"] if contributed else []), "energy read by", "seeds")
    numbers = range(len(headers) - 1, len(headers) + len(methods))
    return Table((*headers, *methods), tuple(rows), frozenset(numbers), _CAPTION)


def _groups(found: Sequence[Section]) -> dict[RowKey, list[_Line]]:
    """Return the savings of all sections by model and what they must share, models together."""
    groups: dict[RowKey, list[_Line]] = {}
    for section in found:
        own: dict[RowKey, _Line] = {}
        for saving in section.known:
            line = own.setdefault(core(saving.key), _Line(section))
            line.savings.setdefault(saving.method, saving)
        for key, line in own.items():
            groups.setdefault(key, []).append(line)
    models = list(dict.fromkeys(key.model for key in groups))
    return dict(sorted(groups.items(), key=lambda item: models.index(item[0].model)))


def _row(name: str, line: _Line, methods: Sequence[str], contributed: bool) -> tuple[str, ...]:
    section = line.section
    pairs = [pair for saving in line.savings.values() for pair in saving.pairs]
    sources = sorted({record.energy_source for pair in pairs for record in pair})
    return (
        name,
        section.machine,
        *([section.contributed_by or "-"] if contributed else []),
        ", ".join(sources),
        str(len({record.seed for record, _ in pairs})),
        *(_cell(line.savings.get(method)) for method in methods),
    )


def _cell(saving: Saving | None) -> str:
    if saving is None:
        return "-"
    return saving.text + (f" {BEYOND}" if saving.beyond else "")
