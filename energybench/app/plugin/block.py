"""Tests of cells that run before their baseline: reported after it, in its block.

Every cell runs at its own place in the shuffled block, so that order favours no method. Its verdict
needs the baseline. So a test that is ready too early is taken back, put behind the baseline's test,
and started again; its cell does not run again.
"""

from typing import NoReturn

import pytest
from _pytest.outcomes import Skipped
from _pytest.runner import runtestprotocol

from energybench.app.plugin.state import RUN, cell_of

_WAITS = pytest.StashKey[bool]()


class _WaitsForBaseline(Skipped):
    """Ends a test whose cell waits; no debugger opens for it, and no benchmark is missed."""


def wait_for_baseline(item: pytest.Item) -> NoReturn:
    """End the test of a cell that is finished while its baseline is not."""
    item.stash[_WAITS] = True
    raise _WaitsForBaseline(f"{cell_of(item)} waits for its baseline")


def baseline_follows(item: pytest.Item) -> bool:
    """Return whether the baseline of a test's cell has a test of its own that is still to come."""
    return _baseline_index(item) is not None


def _baseline_index(item: pytest.Item) -> int | None:
    """Return the place of the baseline's test among the session's, if it is still to come.

    The baseline's test is of the same function: another one may train another way.
    """
    cell, items = cell_of(item), item.session.items
    if cell is None or cell == cell.reference:
        return None
    now = len(items) - 1 - items[::-1].index(item)  # a test that was put back is there twice
    for index in range(now + 1, len(items)):
        other = items[index]
        if cell_of(other) == cell.reference and _function(other) == _function(item):
            return index
    return None


def _function(item: pytest.Item) -> tuple[str, str]:
    name = item.originalname if isinstance(item, pytest.Function) else item.name
    return (item.parent.nodeid if item.parent else ""), name


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run the test of a cell whose baseline follows; put it behind the baseline if it waits."""
    if item.config.stash[RUN].run is None or not baseline_follows(item):
        return None
    item.stash[_WAITS] = False
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if item.stash[_WAITS]:
        _put_back(item)
        return True
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports:
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _put_back(item: pytest.Item) -> None:
    """Let pytest's loop come to `item` again: after the baseline and the tests put there before."""
    items, baseline = item.session.items, _baseline_index(item)
    assert baseline is not None
    place = baseline + 1
    while place < len(items) and items[place].stash.get(_WAITS, False):
        place += 1
    items.insert(place, item)
