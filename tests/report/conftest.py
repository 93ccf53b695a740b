from pathlib import Path

import pytest

from energybench.records.saved import Run, read_runs
from energybench.report.page import page

RESULTS = Path(__file__).parents[2] / "results" / "digits-cpu-2core.json"


@pytest.fixture(scope="session")
def matrix() -> list[Run]:
    """The published run of nine models and three methods."""
    return read_runs([str(RESULTS)])


@pytest.fixture(scope="session")
def matrix_page(matrix: list[Run]) -> str:
    """The page of `matrix`; drawing it takes seconds."""
    return page(matrix)
