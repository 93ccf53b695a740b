"""Give all tests the fixture `pytester`, and divide the suite among processes."""

import gc
import os
from typing import Any

import pytest

pytest_plugins = ["pytester"]

os.environ.pop("PYTHONUNBUFFERED", None)  # most users' output waits in a buffer until a flush

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes with a thread per core each would spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep each file in one process with `-n 2`: its sessions share a cache and a lock folder."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


def pytest_collection_finish() -> None:
    """Leave what is imported out of all garbage collections, of which every cell makes two."""
    gc.collect()
    gc.freeze()
