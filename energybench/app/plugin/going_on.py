"""The last line of a session that was cut short: how to go on."""

import pytest

from energybench.app.plugin.state import RUN

_ENDED = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Note how the session ends."""
    session.config.stash[_ENDED] = exitstatus


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Write the line below all that pytest writes."""
    state = config.stash.get(RUN, None)
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if state is None or reporter is None:
        return
    interrupted = config.stash.get(_ENDED, 0) == pytest.ExitCode.INTERRUPTED
    if state.attached is not None:
        if interrupted:
            reporter.write_line(
                "energybench: detached, and the jobs go on; the same command attaches again, "
                f"`energybench cancel {state.attached.folder}` ends them"
            )
        return
    if state.run is None or not state.run.keeper.has_all:
        return
    command = f"the same command{'' if state.options.resume else ' with --energy-resume'}"
    cut = sum(record.status == "interrupted" for record in state.measured)
    if interrupted:
        reporter.write_line(
            f"energybench: interrupted; {command} goes on from {state.run.keeper.path}"
        )
    elif cut:
        cells = "1 cell was" if cut == 1 else f"{cut} cells were"
        reporter.write_line(f"energybench: {cells} cut short; {command} runs them again")
