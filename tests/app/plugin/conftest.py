"""A pytest session of its own, with tiny models registered as another package would."""

import os
from pathlib import Path

import pytest
from support.replay import TRACE
from support.sessions import popen

TINY = """
from torch import nn
from energybench.workloads.images.networks import ModelSpec


class Tiny(ModelSpec):
    def build(self, classes, photographs=False):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 32), nn.ReLU(),
            nn.Linear(32, classes),
        )


tiny = Tiny("tiny", 0, "8", image_size=16, small_image_size=16)
tiny2 = Tiny("tiny2", 0, "8", image_size=16, small_image_size=16)
"""

METHODS = '''
import glob
import os
import signal
import time

import torch
from energybench.compression.base import MASK, Baseline
from energybench.errors import CellError


class Ruin(Baseline):
    """Loses its accuracy."""
    name = "ruin"

    def finalize(self, model):
        for parameter in model.parameters():
            parameter.data.zero_()


class Diverge(Baseline):
    """Makes the loss not finite."""
    name = "diverge"

    def after_step(self, model):
        next(model.parameters()).data.fill_(float("nan"))


class Refuse(Baseline):
    """Fails before any training."""
    name = "refuse"

    def compress(self, model, score, tolerance):
        raise CellError("nothing here to compress")


class DieOnRank1(Baseline):
    """One rank is killed while training."""
    name = "die"

    def after_step(self, model):
        if os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)


class StumbleOnRank1(Baseline):
    """One rank fails alone."""
    name = "stumble"

    def after_step(self, model):
        if os.environ.get("RANK") == "1":
            raise ValueError("only here")


class Slow(Baseline):
    """Takes minutes."""
    name = "slow"

    def after_step(self, model):
        time.sleep(1.0)


class Held(Baseline):
    """Trains on once a file "go" is there, or after minutes."""
    name = "held"

    def after_step(self, model):
        end = time.monotonic() + 240.0
        while not os.path.exists("go") and time.monotonic() < end:
            time.sleep(0.05)


class HeldLater(Held):
    """Waits likewise, as soon as the cell has a checkpoint in the folder of a run."""
    name = "held-later"

    def after_step(self, model):
        if glob.glob("run/journal/checkpoints/*.pt"):
            super().after_step(model)


class Hungry(Baseline):
    """Runs out of memory while training."""
    name = "hungry"

    def after_step(self, model):
        raise torch.OutOfMemoryError("tried to allocate 1 EiB")
'''

ENTRY_POINTS = """
[energybench.models]
tiny = tiny_energy:tiny
tiny2 = tiny_energy:tiny2

[energybench.methods]
ruin = tiny_methods:Ruin
diverge = tiny_methods:Diverge
refuse = tiny_methods:Refuse
hungry = tiny_methods:Hungry
die = tiny_methods:DieOnRank1
stumble = tiny_methods:StumbleOnRank1
slow = tiny_methods:Slow
held = tiny_methods:Held
held-later = tiny_methods:HeldLater
"""

BENCHMARK = """
import pytest


@pytest.mark.energy_matrix(models=["tiny"], methods=["baseline", "stego"])
def test_finetune(cell, energy_cell):
    energy_cell(cell)
"""


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed package that registers models and methods by entry points."""
    root = tmp_path_factory.mktemp("package")
    (root / "tiny_energy.py").write_text(TINY)
    (root / "tiny_methods.py").write_text(METHODS)
    info = root / "tiny_energy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-energy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all sessions, so that the tiny models are pretrained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tiny_package: Path, cache: Path
) -> pytest.Pytester:
    """A folder with one benchmark in it, with meters replayed; run it in a process of its own.

    `runpytest_subprocess` forks that process, see `support.sessions`.
    """
    monkeypatch.setenv("PYTHONPATH", str(tiny_package), prepend=os.pathsep)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(cache))
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(cache))  # other sessions do not make it wait
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(pytester, "popen", popen)
    pytester.makepyfile(test_bench=BENCHMARK)
    pytester.makeini(
        f"[pytest]\nenergy_dataset = digits\nenergy_meter = replay\nenergy_replay = {TRACE}\n"
        "energy_idle = 0\n"
    )
    return pytester
