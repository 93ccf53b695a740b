"""What holds for every benchmark here."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Keep each run's JSON in `.benchmarks/`, unless another place is asked for."""
    asked = config.getoption("benchmark_save", None) or config.getoption("benchmark_json", None)
    measures = hasattr(config.option, "benchmark_autosave") and not config.option.collectonly
    if measures and not asked:
        config.option.benchmark_autosave = True
