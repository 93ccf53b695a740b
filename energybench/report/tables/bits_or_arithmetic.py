"""The table that parts a method's own gain from the gain of the arithmetic that it chose."""

from energybench.report.floor import shown_saving
from energybench.report.savings import CONTROL, Saving, core, energy_ratios
from energybench.report.sections import Section
from energybench.report.tables.matrix_rows import Table


def arithmetic_table(section: Section) -> Table:
    """Return a table of the methods that trained in another arithmetic than their baseline.

    Each is compared with the baseline, which shows the gain of both, and with the uncompressed
    control in the same arithmetic, which shows the gain of the method alone. The table may be
    empty.
    """
    headers = (
        *("model", "method", "arithmetic", "over the baseline: both"),
        *("the arithmetic alone", "over the same arithmetic: the method alone"),
    )
    rows = []
    for one in section.known:
        arithmetic = _other_arithmetic(one)
        if arithmetic is None or one.method.startswith(CONTROL):
            continue
        control = _control(section, one, CONTROL + arithmetic)
        missing = f"{CONTROL}{arithmetic} was not run"
        label = section.labels[one.key]
        rows.append(
            (
                one.model,
                f"{one.method} ({label})" if label else one.method,
                arithmetic,
                one.text,
                control.text if control else missing,
                _over(one, control) if control else missing,
            )
        )
    return Table(headers, tuple(rows), frozenset(range(3, len(headers))))


def _other_arithmetic(saving: Saving) -> str | None:
    """Return the arithmetic of all cells if it is one, and not the baseline's; else None."""
    ours = {record.precision for record, _ in saving.pairs}
    theirs = {base.precision for _, base in saving.pairs}
    chosen = next(iter(ours)) if len(ours) == 1 else None
    return chosen if chosen is not None and chosen not in theirs else None


def _control(section: Section, saving: Saving, method: str) -> Saving | None:
    own = (one for one in section.known if one.method == method)
    return next((one for one in own if core(one.key) == core(saving.key)), None)


def _over(saving: Saving, control: Saving) -> str:
    theirs = {ours.seed: ours for ours, _ in control.pairs}
    pairs = [(ours, theirs[ours.seed]) for ours, _ in saving.pairs if ours.seed in theirs]
    (ratio,) = energy_ratios([pairs], "kwh")
    return shown_saving(ratio, saving.noise)
