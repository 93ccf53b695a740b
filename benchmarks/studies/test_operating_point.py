"""Find the operating point: the front of time, energy and metric over three choices.

    pytest benchmarks/studies/test_operating_point.py -k resnet18 --benchmark-json=points.json
    pytest benchmarks/studies/test_operating_point.py --energy-allow-power-limit

Each point is a whole fine-tuning under the protocol, at one batch size, arithmetic and power limit
of the GPU; the learning rate stays. `--point-batches`, `--point-precisions` and `--point-limits`
name others. On a CPU there is one power limit. Points whose arithmetic the device lacks, and power
limits without `--energy-allow-power-limit`, are skipped.
"""

import itertools

import pytest

from energybench.app.plugin.cells import play
from energybench.config import PRECISIONS
from energybench.errors import EnergybenchError
from energybench.records.studies import to_extra_info
from energybench.runs.matrix import PAPER_MODELS
from energybench.runs.studies.operating_point import OWN, Point, operating_point, why_not

BATCHES = (16, 64, 256)
LIMITS = (OWN, "80%", "60%")
"""Shares are of the GPU's default power limit."""


def pytest_generate_tests(metafunc):
    """Make a test of every point."""
    if "point" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption
    axes = (
        [int(size) for size in asked("--point-batches") or BATCHES],
        asked("--point-precisions") or PRECISIONS,
        asked("--point-limits") or LIMITS,
    )
    metafunc.parametrize("point", [Point(*one) for one in itertools.product(*axes)], ids=str)


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=("baseline",))
def test_operating_point(cell, point, energy_session, benchmark):
    """Fine-tune once; the benchmark's time is that of fine-tuning."""
    reason = why_not(point, energy_session)
    if reason is not None:
        pytest.skip(reason)
    benchmark.group = cell.model
    try:
        found = operating_point(cell, energy_session, point)
    except EnergybenchError as error:
        pytest.fail(str(error), pytrace=False)
    play(benchmark, found.seconds)
    benchmark.extra_info |= to_extra_info(found)
