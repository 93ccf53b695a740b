"""Attempts at a cell: on a quiet machine, and once more where a disturbance spoilt it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from energybench.config import MeasureConfig
from energybench.energy.cpu_use import CpuWatch
from energybench.energy.neighbours import observe, wait_until_quiet
from energybench.records.attempt import DISTURBANCES, Attempt
from energybench.records.record import RunRecord
from energybench.runs.jobs import Outcome


def _unchanged(value: Any) -> Any:
    return value


class Attempts:
    """Runs cells as `MeasureConfig.quiet_s` and `MeasureConfig.retry` ask."""

    def __init__(
        self,
        measure: MeasureConfig,
        say: Callable[[str], None],
        agree: Callable[[Any], Any] = _unchanged,
        leads: bool = True,
    ) -> None:
        """Take the options; `agree` broadcasts rank 0's value.

        Only the process that `leads` looks at its machine, whose other ranks wait meanwhile.
        """
        self._measure = measure
        self._say = say
        self._agree = agree
        self._leads = leads
        self._watch = CpuWatch() if leads and measure.quiet_s > 0 else None

    def run(self, submit: Callable[[], Outcome]) -> Outcome:
        """Call `submit` until its cell was not disturbed, at most `retry` times more.

        The outcome is the last one. Its record has the earlier attempts. A cell that failed or was
        interrupted is not run again.
        """
        earlier: list[Attempt] = []
        while True:
            self._wait()
            outcome = submit()
            record = replace(outcome.record, attempts=list(earlier))
            outcome = replace(outcome, record=record)
            disturbed = disturbances(record)
            again = disturbed and outcome.interruption is None and not outcome.broken
            if not again or len(earlier) >= self._measure.retry:
                return outcome
            name = f"{record.model} {record.method} seed {record.seed}"
            self._say(f"{name} was {' and '.join(disturbed)}: running it again")
            earlier.append(Attempt(disturbed, record.phases.get("finetune"), len(record.epochs)))

    def _wait(self) -> None:
        if self._measure.quiet_s > 0:
            quiet = self._watch is None or self._wait_here(self._watch)
            self._agree(quiet)  # the other ranks wait here, asleep

    def _wait_here(self, watch: CpuWatch) -> bool:
        look = partial(observe, watch, busy_share=self._measure.busy_share)
        return wait_until_quiet(self._measure.quiet_s, self._say, look)


def disturbances(record: RunRecord) -> list[str]:
    """Return the flags for which a finished cell should run again; none for any other cell."""
    return [flag for flag in DISTURBANCES if record.status == "ok" and flag in record.flags]
