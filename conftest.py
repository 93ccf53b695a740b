"""Give all tests the fixture `pytester`, and divide the suite among processes."""

import gc
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent
LONG_FILES = (
    "tests/benchmarks_gpu/test_rehearsal.py",
    "tests/app/plugin/test_on_cluster.py",
    "tests/app/plugin/test_ranks.py",
    "tests/app/plugin/test_resnet18.py",
    "tests/app/plugin/test_run.py",
    "tests/app/plugin/test_resume.py",
    "tests/test_examples.py",
    "tests/app/plugin/test_disks.py",
    "tests/test_docs.py",
    "tests/training/test_compiled.py",
)
"""Files whose few tests take long, the longest first."""

os.environ.pop("PYTHONUNBUFFERED", None)  # most users' output waits in a buffer until a flush

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes with a thread per core each would spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep each file in one process with `-n 2`: its sessions share a cache and a lock folder."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with `LONG_FILES`, then with files of many tests, so that all processes end at once."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    counts = Counter(item.path for item in items)
    ranks = {ROOT / name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: (ranks.get(item.path, len(ranks)), -counts[item.path], item.path))


def pytest_collection_finish() -> None:
    """Leave what is imported out of all garbage collections, of which every cell makes two."""
    gc.collect()
    gc.freeze()
