"""Fixtures for the whole suite, and how it is divided among processes."""

from typing import Any

import pytest

pytest_plugins = ["pytester"]

SESSIONS = "tests/app/plugin/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2` files stay whole, and one process has all sessions that measure.

    Those hold locks, die on purpose and are interrupted: two at once would disturb each other.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return SESSIONS if nodeid.startswith(SESSIONS) else nodeid.partition("::")[0]

    return Files(config, log)
