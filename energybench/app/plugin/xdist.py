"""pytest-xdist: its workers refuse to run a matrix, since cells must be measured one at a time.

The controller knows only the ids of tests. The workers see the mark and tell the controller.
"""

from typing import Any

import pytest

from energybench.app.plugin.mark import MATRIX_MARK
from energybench.app.plugin.state import NOT_RUNNING

REFUSED = "energybench"
"""Key of the refusal in the output of a worker that ends."""
_LINE = (
    "energy is measured one cell at a time; run the benchmarks without -n, or leave them out with "
    f'-k or -m "not {MATRIX_MARK}"'
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """End a worker that would run cells, before it runs any test."""
    config = session.config
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is None or any(config.getoption(name, 0) for name in NOT_RUNNING):
        return None
    if not any(item.get_closest_marker(MATRIX_MARK) for item in session.items):
        return None
    output[REFUSED] = session.shouldfail = _LINE
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """End the session in the controller, with the worker's refusal."""
    line = getattr(node, "workeroutput", {}).get(REFUSED)
    if line is not None:
        raise pytest.UsageError(line)
