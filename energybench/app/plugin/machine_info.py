"""Facts of the machine in pytest-benchmark's JSON, if a matrix has run."""

from collections.abc import Generator
from typing import Any

import pytest

from energybench.app.plugin.state import RUN

KEY = "energybench"


def _facts() -> dict[str, Any]:
    from energybench.energy.machine import describe_machine

    return describe_machine().to_json()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add the stable facts that identify this machine, once cells have run.

    Of a run on a cluster they are those of its last cell.
    """
    state = config.stash[RUN]
    if state.attached is None and state.run is not None:
        machine_info[KEY] = _facts()
    elif state.records:
        machine_info[KEY] = state.records[-1].machine


@pytest.hookimpl(wrapper=True, tryfirst=True, optionalhook=True)
def pytest_benchmark_compare_machine_info(
    machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> Generator[None]:
    """Compare the facts of this machine with those of a saved run, if it has any.

    pytest-benchmark compares before the tests are collected, so the kind of tests is not known.
    """
    saved = compared_benchmark.get("machine_info") or {}
    if KEY in saved:
        machine_info[KEY] = _facts()
    try:
        return (yield)
    finally:
        machine_info.pop(KEY, None)
