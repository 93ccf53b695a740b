"""Give all tests the fixture `pytester`, and divide the suite among processes."""

from typing import Any

import pytest

pytest_plugins = ["pytester"]

SESSIONS = "tests/app/plugin/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep each file in one process with `-n 2`, and all sessions that measure in one.

    These sessions hold locks, die on purpose and are interrupted: two at once would disturb each
    other.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return SESSIONS if nodeid.startswith(SESSIONS) else nodeid.partition("::")[0]

    return Files(config, log)
