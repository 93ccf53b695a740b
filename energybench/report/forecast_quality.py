"""How good the forecasts of cells were: what `energybench plan` expected against what came."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from energybench.energy.units import format_kwh, kwh
from energybench.records.forecast import Forecast, Range
from energybench.records.record import RunRecord
from energybench.report.text import number


@dataclass(frozen=True)
class Outcome:
    """The forecast of one ended cell, and what the cell took."""

    record: RunRecord
    forecast: Forecast

    @property
    def seconds_per_epoch(self) -> float:
        """The median of the cell's epochs."""
        return median(epoch.duration_s for epoch in self.record.epochs)

    @property
    def seconds_error(self) -> float | None:
        """Forecast seconds per epoch over measured ones, less 1."""
        return _error(self.forecast.seconds_per_epoch.likely, self.seconds_per_epoch)

    @property
    def energy_error(self) -> float | None:
        """The same of the IT energy per epoch; None where either is not known."""
        seconds, watts = self.forecast.seconds_per_epoch.likely, self.forecast.watts
        known = [epoch.joules for epoch in self.record.epochs if epoch.joules is not None]
        if seconds is None or watts is None or len(known) < len(self.record.epochs):
            return None
        return _error(seconds * watts, fmean(known))

    @property
    def cpu_error(self) -> float | None:
        """The same of the CPU time per epoch of a cell on a CPU, whoever else used the machine."""
        used = [epoch.cpu.own_s for epoch in self.record.epochs if epoch.cpu is not None]
        if self.record.protocol.device != "cpu" or len(used) < len(self.record.epochs):
            return None
        return _error(self.forecast.cpu_s_per_epoch, median(used))

    @property
    def epochs_inside(self) -> bool:
        """Whether as many epochs were trained as the forecast's interval says."""
        return self.forecast.epochs.holds(len(self.record.epochs))

    @property
    def kwh(self) -> Range | None:
        """Forecast facility energy of fine-tuning, kWh."""
        joules = self.forecast.finetune_joules
        return None if joules is None else joules.scaled(kwh(1.0, self.record.pue))


def outcomes(records: Iterable[RunRecord]) -> list[Outcome]:
    """Return the ended cells that had a forecast."""
    return [
        Outcome(record, record.forecast)
        for record in records
        if record.forecast is not None and record.status == "ok" and record.epochs
    ]


HEADERS = (
    *("model", "method", "seed", "s/epoch", "planned", "off"),
    *("epochs", "planned epochs", "energy", "planned energy"),
)
NUMBERS = frozenset(range(2, len(HEADERS)))


def outcome_rows(found: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the rows of a table with `HEADERS`; energy is the facility energy of fine-tuning."""
    return [
        (
            one.record.model,
            one.record.method,
            str(one.record.seed),
            number(one.seconds_per_epoch),
            number(one.forecast.seconds_per_epoch.likely),
            _signed(one.seconds_error),
            str(len(one.record.epochs)),
            range_text(one.forecast.epochs, lambda epochs: f"{epochs:g}"),
            format_kwh(one.record.kwh),
            range_text(one.kwh, format_kwh),
        )
        for one in found
    ]


def quality_line(found: Sequence[Outcome]) -> str | None:
    """Return one sentence on the errors of all forecasts; None without any."""
    if not found:
        return None
    parts = [
        _errors("seconds per epoch", [(one, one.seconds_error) for one in found]),
        _errors("CPU time per epoch", [(one, one.cpu_error) for one in found]),
        _errors("energy per epoch", [(one, one.energy_error) for one in found]),
    ]
    inside = sum(one.epochs_inside for one in found)
    parts.append(f"epochs within the forecast in {inside} of {len(found)} cells")
    return "the plan: " + "; ".join(part for part in parts if part)


def range_text(value: Range | None, show: Callable[[float], str]) -> str:
    """Return "3.2 s [2.1 s, 8.0 s]", or "2.1 s to 8.0 s" where no value is likelier; "-"."""
    if value is None:
        return "-"
    low, high = show(value.low), show(value.high)
    if value.likely is not None:
        return show(value.likely) if low == high else f"{show(value.likely)} [{low}, {high}]"
    return low if low == high else f"{low} to {high}"


def _errors(what: str, errors: Sequence[tuple[Outcome, float | None]]) -> str:
    known = [(one, error) for one, error in errors if error is not None]
    if not known:
        return ""
    worst, most = max(known, key=lambda pair: abs(pair[1]))
    middle = median(abs(error) for _, error in known)
    text = f"{what} off by {100 * middle:.1f} % in the median of {len(known)} cells"
    if len(known) == 1:
        return f"{what} off by {100 * most:+.1f} %"
    return f"{text}, at most {100 * most:+.1f} % ({worst.record.model} {worst.record.method})"


def _error(expected: float | None, found: float) -> float | None:
    return None if expected is None or found <= 0 else expected / found - 1


def _signed(error: float | None) -> str:
    return "-" if error is None else f"{100 * error:+.1f} %"
