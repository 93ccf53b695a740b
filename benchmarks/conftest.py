"""Hooks and fixtures of all benchmarks in this folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ON_REQUEST = (
    "gpu",
    "test_instruments*.py",
    "test_language.py",
    "test_throughput.py",
    "studies",
)
"""Files and folders outside the paper's matrix: they run only when their path is named."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the size of what is measured step by step, and the points of a study."""
    group = parser.getgroup("single steps")
    group.addoption("--step-batch", type=int, help="images per step (default: the benchmark's own)")
    group.addoption("--step-window", type=float, help="least seconds of an energy window")
    points = parser.getgroup("operating points")
    for name, text in (
        ("batches", "batch sizes of the points"),
        ("precisions", "arithmetics of the points: fp32, tf32, bf16"),
        ("limits", "power limits of the points: own, 250W, or 80%% of the GPU's default"),
    ):
        points.addoption(
            f"--point-{name}", type=_listed, metavar="X", help=f"{text}, comma-separated"
        )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@dataclass(frozen=True)
class Size:
    """The size of one measurement of single steps."""

    batch: int
    window_s: float


@pytest.fixture
def step_size(pytestconfig: pytest.Config) -> Callable[[int, float], Size]:
    """Return a function: images per step and least seconds of a window -> those, unless asked."""
    batch, window_s = (pytestconfig.getoption(name) for name in ("--step-batch", "--step-window"))
    return lambda own, own_s: Size(batch or own, own_s if window_s is None else window_s)


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
