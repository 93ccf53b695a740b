"""The table of savings under other watts of an estimated energy."""

from energybench.report.sections import Section
from energybench.report.sensitivity import SCENARIOS, savings_under
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import saving


def estimate_tables(section: Section) -> list[tuple[str, Table]]:
    """Return (title, table) of how each saving moves; nothing where no energy is an estimate."""
    rows = []
    for one in section.known:
        under = savings_under(one)
        if under:
            shares = [under.get(scenario.name) for scenario in SCENARIOS]
            others = ("-" if share is None else f"{100 * share:+.1f} %" for share in shares)
            label = section.labels[one.key]
            method = f"{one.method} ({label})" if label else one.method
            rows.append((one.model, method, saving(one.energy), *others))
    if not rows:
        return []
    headers = ("model", "method", "as estimated", *(scenario.name for scenario in SCENARIOS))
    table = Table(headers, tuple(rows), frozenset(range(2, len(headers))))
    return [("Savings under other watts", table)]
