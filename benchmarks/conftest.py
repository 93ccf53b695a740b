"""Hooks and fixtures of all benchmarks in this folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ON_REQUEST = (
    "test_instruments*.py",
    "test_language.py",
    "test_step.py",
    "test_throughput.py",
    "studies",
)
"""Files and folders outside the paper's matrix: they run only when their path is named."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep each run's JSON in `.benchmarks/`, unless another place is asked for."""
    if config.option.collectonly or not config.pluginmanager.hasplugin("benchmark"):
        return
    if not (config.option.benchmark_save or config.option.benchmark_json):
        from pytest_benchmark.utils import get_tag

        config.option.benchmark_autosave = get_tag()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files of `ON_REQUEST`, unless their path is named."""
    path = collection_path.resolve()
    asked_for_alone = [
        place
        for place in (path, *path.parents)
        if place.parent == HERE and any(place.match(pattern) for pattern in ON_REQUEST)
    ]
    if not asked_for_alone:
        return None
    start = config.invocation_params.dir
    named = [(start / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(one.is_relative_to(asked_for_alone[0]) for one in named) else True


@pytest.fixture
def tell(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Keep figures in the benchmark's JSON, and print them."""

    def keep(**figures: float | str) -> None:
        benchmark.extra_info.update(figures)
        with capsys.disabled():
            told = (
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in figures.items()
            )
            print(f"\n{benchmark.name}: {', '.join(told)}")

    return keep
