"""The line that says what an estimate assumes."""

from dataclasses import replace

import pytest
from support.fake_hardware import FakeMeter
from support.saved_runs import ASSUMED

from energybench.energy.assumptions import Assumptions
from energybench.energy.windows import MeterSet

BY_LOAD = "10 % of them at rest, the rest by the cube of the load"


@pytest.mark.parametrize(
    ("assumed", "says"),
    [
        (
            ASSUMED,
            "codecarbon 3.3.2: processor (AMD EPYC) not in its table, 4 W a thread x 2 threads at "
            f"full load, {BY_LOAD}, memory 20 W whatever it does",
        ),
        (
            replace(ASSUMED, processor_known=True, cpu_watts=280.0, cpu_threads=None),
            "codecarbon 3.3.2: processor (AMD EPYC) 280 W at full load from its table, "
            f"{BY_LOAD}, memory 20 W whatever it does",
        ),
        (
            replace(ASSUMED, processor=None, cpu_watts=85.0, cpu_threads=None, mode="constant"),
            "codecarbon 3.3.2: processor not in its table, 85 W at full load, "
            "half of them whatever the load, memory 20 W whatever it does",
        ),
        (
            replace(
                ASSUMED,
                processor_known=None,
                cpu_watts=65.0,
                cpu_threads=None,
                ram_watts=3.0,
                declared=("cpu", "dram"),
            ),
            "codecarbon 3.3.2: processor (AMD EPYC) 65 W at full load as declared, "
            f"{BY_LOAD}, memory 3 W as declared whatever it does",
        ),
        (
            replace(ASSUMED, cpu_watts=None, cpu_threads=None, mode="intel_rapl", ram_watts=None),
            "codecarbon 3.3.2: processor by its own counter intel_rapl",
        ),
        (
            Assumptions("codecarbon 3.3.2", None, None, None, None, None, 10.0),
            "codecarbon 3.3.2: memory 10 W whatever it does",
        ),
    ],
)
def test_one_line_names_every_figure(assumed: Assumptions, says: str) -> None:
    assert str(assumed) == says


def test_open_meters_hand_on_what_their_estimate_assumes() -> None:
    class Estimating(FakeMeter):
        def assumptions(self) -> Assumptions:
            if self.failure is not None:
                raise self.failure
            return ASSUMED

    counter, estimate = FakeMeter({"cpu:0": 0.0}), Estimating({"dram:estimate": 0.0})
    assert MeterSet({"rapl": counter}).assumptions is None
    meters = MeterSet({"rapl": counter, "codecarbon": estimate})
    assert meters.assumptions == ASSUMED
    unread = Estimating({"cpu:estimate": 0.0})
    assert MeterSet({"rapl": counter, "codecarbon": unread}).assumptions is None
    estimate.failure = AttributeError("a newer version")
    assert meters.assumptions is None
