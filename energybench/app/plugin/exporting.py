"""`--energy-export`: cells and calls to a dashboard, as soon as they are measured."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from energybench.app.plugin.running import sayer
from energybench.app.plugin.state import NOT_RUNNING, RUN
from energybench.app.plugin.torchrun import rank
from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.app.exporting.measurements import Measurement
    from energybench.app.exporting.targets import Exports
    from energybench.records.record import RunRecord

EXPORTS: "pytest.StashKey[Exports]" = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Open the targets; a library that is missing ends the session here.

    A rank other than the first exports nothing, nor does a block of a cluster, whose results an
    attached session shows.
    """
    config, state = session.config, session.config.stash[RUN]
    names = state.options.exports
    not_running = any(config.getoption(name, 0) for name in NOT_RUNNING)
    if not names or rank() or state.block is not None or not_running:
        return
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError("--energy-export is for one process; run without -n")
    from energybench.app.exporting.targets import Exports

    try:
        config.stash[EXPORTS] = Exports(names, sayer(config))
    except UsageError as error:
        raise pytest.UsageError(f"--energy-export: {error}") from error


def export_cells(config: pytest.Config, records: "Iterable[RunRecord]") -> None:
    """Send the measurements of cells, which are in the journal by now, to every target."""
    if EXPORTS in config.stash:
        from energybench.app.exporting.measurements import of_record

        export(config, (one for record in records for one in of_record(record)))


def export_call(
    config: pytest.Config,
    test: str,
    joules: float | None,
    seconds: float | None,
    watts: float | None,
    source: str,
) -> None:
    """Send the measurements of one call in `test` to every target, see `measurements.of_call`."""
    if EXPORTS in config.stash:
        from energybench.app.exporting.measurements import of_call

        export(config, of_call(test, joules, seconds, watts, source))


def export(config: pytest.Config, measurements: "Iterable[Measurement]") -> None:
    """Send flat measurements to every target; nothing happens without one."""
    exports = config.stash.get(EXPORTS, None)
    if exports is not None:
        exports.add(measurements)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Send what waits, unless the user has interrupted the session."""
    exports = session.config.stash.get(EXPORTS, None)
    if exports is not None and exitstatus != pytest.ExitCode.INTERRUPTED:
        exports.close()
