"""The process that leads ranks, without any."""

from types import SimpleNamespace
from typing import Any

from support.saved_runs import cell

from energybench.config import Cell
from energybench.runs.executors.remote import _rescued
from energybench.runs.executors.worker import Ended


def test_what_rank_0_could_still_say_of_a_reference_is_not_the_cells() -> None:
    baseline = cell("baseline")
    led: Any = SimpleNamespace(workers=SimpleNamespace(rescued=Ended(baseline, 1.0, True)))
    assert _rescued(led, Cell("resnet18", "stego")) is None
    assert _rescued(led, Cell("resnet18", "baseline", 1)) is None
    found = _rescued(led, Cell("resnet18", "baseline"))
    assert found is not None
    assert found.record is baseline
