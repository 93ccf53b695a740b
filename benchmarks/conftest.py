"""What holds for every benchmark here."""

from pathlib import Path

import pytest

ON_REQUEST = ("test_instruments*.py", "test_step.py")
"""Files that run only when they are named by path: they are no part of the paper's matrix."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep each run's JSON in `.benchmarks/`, unless another place is asked for."""
    if config.option.collectonly or not config.pluginmanager.hasplugin("benchmark"):
        return
    if not (config.option.benchmark_save or config.option.benchmark_json):
        from pytest_benchmark.utils import get_tag

        config.option.benchmark_autosave = get_tag()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what runs on request only, unless it is named."""
    if not any(collection_path.match(pattern) for pattern in ON_REQUEST):
        return None
    start = config.invocation_params.dir
    named = {(start / argument.partition("::")[0]).resolve() for argument in config.args}
    return None if collection_path.resolve() in named else True
