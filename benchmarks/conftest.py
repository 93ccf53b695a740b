"""What holds for every benchmark here."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Keep each run's JSON in `.benchmarks/`, unless another place is asked for."""
    asked = config.getoption("benchmark_save", None) or config.getoption("benchmark_json", None)
    if not asked and hasattr(config.option, "benchmark_autosave"):
        config.option.benchmark_autosave = True
