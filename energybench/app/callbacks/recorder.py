"""What the callbacks share: a run of `energybench.measure` that can never break a training."""

import atexit
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from energybench.errors import UsageError
from energybench.runs.scripts.measure import Measuring, Started, measure
from energybench.runs.scripts.record import Ending, ending_of
from energybench.runs.scripts.run import Run
from energybench.runs.scripts.values import number_of

log = logging.getLogger(__name__)

_ABANDONED = Ending("interrupted", "interrupted (the training did not reach its end)")


class Recorder:
    """One training after another, each a run; a failure costs a line in the log and the energy.

    The arguments are those of `energybench.measure`. While another process measures, nothing is
    measured here, rather than that the training waits; `wait=True` waits. Raises `UsageError` for
    arguments that are wrong, when it is made.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._measuring: Measuring = measure(name, **{"wait": False} | options)
        self._seed_is_given = "seed" in options
        self._started: Started | None = None
        self._epoch: int | None = None
        self._values: dict[str, float] = {}
        self._process: int | None = None
        self.run: Run | None = None
        """The last run; None before any."""

    def begin(self, settings: Mapping[str, Any], seed: int | None = None) -> None:
        """Start a run; `settings` and `seed` count where the user gave none."""
        self._guarded(lambda: self._begin(settings, seed))

    def begin_epoch(self, number: int) -> None:
        """Keep the epoch before, whose validation has ended by now."""

        def begin() -> None:
            self._keep_epoch()
            self._epoch = number

        self._guarded(begin)

    def values(self, values: Mapping[str, Any]) -> None:
        """Note numbers of the epoch that runs; what is no number is left out."""

        def note() -> None:
            for name, value in values.items():
                if name != "epoch":  # which the library counts in its own way
                    with suppress(UsageError):
                        self._values[str(name)] = number_of(name, value)

        self._guarded(note)

    def end(self, error: BaseException | None = None) -> None:
        """Save the run; `error` is what ended the training, None for its own end."""
        self._guarded(lambda: self._end(ending_of(error)))

    def _begin(self, settings: Mapping[str, Any], seed: int | None) -> None:
        if self._started is not None:
            self._end(_ABANDONED)
        changes: dict[str, Any] = {"settings": {**settings, **self._measuring.asked.settings}}
        if seed is not None and not self._seed_is_given:
            changes["seed"] = seed
        started = self._measuring.begin(**changes)
        self._started, self.run, self._process = started, started.run, os.getpid()
        self._epoch, self._values = None, {}
        atexit.register(self._abandon)

    def _abandon(self) -> None:
        if os.getpid() == self._process:  # a fork has this handler, too, and no training
            self._guarded(lambda: self._end(_ABANDONED))

    def _keep_epoch(self) -> None:
        if self._started is not None and self._epoch is not None:
            self._started.run.log(epoch=self._epoch, **self._values)
        self._epoch, self._values = None, {}

    def _end(self, ending: Ending) -> None:
        started = self._started
        if started is None:
            return
        try:
            if ending.status == "ok":
                self._keep_epoch()
        finally:
            self._started = None
            atexit.unregister(self._abandon)
            started.end(ending)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do `act`; where it fails, say so once, and measure nothing more of this training."""
        try:
            act()
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            told = str(error) if isinstance(error, UsageError) else told
            log.warning("%s is not measured: %s", self._measuring.asked.name, told)
            started, self._started = self._started, None
            if started is not None:
                with suppress(Exception):
                    started.end(Ending("failed", told))
