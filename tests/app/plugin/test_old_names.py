"""Fixtures under their old names: they work for one version, and warn."""

import pytest

OLD = """
import pytest


@pytest.mark.energy_matrix(models=["tiny"], methods=["baseline"])
def test_cell(cell, finetune, bench):
    assert finetune(cell).status == "ok"
    assert bench.device.type == "cpu"
"""


def test_the_old_fixtures_work_and_name_the_new_ones(session: pytest.Pytester) -> None:
    session.makepyfile(test_bench=OLD)
    result = session.runpytest_subprocess("--energy-max-epochs=1", "--energy-device=cpu")
    result.assert_outcomes(passed=1, warnings=2)
    result.stdout.fnmatch_lines_random(
        [
            "*DeprecationWarning: the fixture `finetune` is now called `energy_cell`*",
            "*DeprecationWarning: the fixture `bench` is now called `energy_session`*",
        ]
    )
