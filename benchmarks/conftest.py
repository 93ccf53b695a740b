"""What holds for every benchmark here."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Keep each run's JSON in `.benchmarks/`, unless another place is asked for."""
    if config.option.collectonly or not config.pluginmanager.hasplugin("benchmark"):
        return
    if not (config.option.benchmark_save or config.option.benchmark_json):
        from pytest_benchmark.utils import get_tag

        config.option.benchmark_autosave = get_tag()
