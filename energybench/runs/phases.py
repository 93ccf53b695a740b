"""Energy windows around the phases of a cell."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from energybench.energy.trace import Tracer, power_trace
from energybench.energy.windows import Window
from energybench.runs.measured import Measured
from energybench.runs.session import Session


class Phases:
    """Windows around the phases of one cell; the readings go into its `Measured`."""

    def __init__(self, session: Session, measured: Measured) -> None:
        self._session = session
        self._measured = measured
        self._tracer: Tracer | None = None

    def window(self) -> AbstractContextManager[Window]:
        """Open a window that belongs to no phase, for an epoch or a checkpoint."""
        return self._session.window()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block as phase `name`, also when the block raises.

        A second block of the same name adds to the first.
        """
        window, began_s = None, 0.0
        if self._tracer is not None:
            self._tracer.mark(name)
        try:
            with self._session.window(states=True) as window:
                began_s = time.time()
                yield
        finally:
            if window is not None:
                self._measured.add_window(name, window.reading, began_s)

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Sample power during the block, if `config.measure.trace` asks for it."""
        if not self._session.config.measure.trace:
            yield
            return
        with power_trace(self._session.meters) as self._tracer:
            self._measured.trace = self._tracer.trace  # grows while the block runs
            yield
