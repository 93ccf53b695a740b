"""Sessions and commands that the tests start in processes of their own."""

import pytest


@pytest.fixture(autouse=True)
def _no_part_of_a_run_with_n(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions started here time and write their JSON, however this one is divided."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
