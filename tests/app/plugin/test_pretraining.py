"""Pretraining as a session sees it: said on a plain log, and ended by a signal."""

import os
import signal
from pathlib import Path

import pytest
from support.sessions import ForkedSession

from energybench.records.journal import Journal

MODEL = """
import os
import time

from torch import nn
from energybench.workloads.images.networks import ModelSpec


class Endless(nn.Sequential):
    def forward(self, images):
        with open("steps.txt", "a") as file:
            print(os.getpid(), file=file)
        time.sleep(0.5)
        return super().forward(images)


class EndlessSpec(ModelSpec):
    def build(self, classes, photographs=False):
        return Endless(nn.Flatten(), nn.Linear(192, classes))


endless = EndlessSpec("endless", 0, "1", image_size=8, small_image_size=8)
"""


@pytest.fixture
def endless(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.Pytester:
    """A session with the model `endless`, whose pretraining takes minutes, and an empty cache."""
    (tmp_path / "endless_energy.py").write_text(MODEL)
    info = tmp_path / "endless_energy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: endless-energy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[energybench.models]\nendless = endless_energy:endless")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / "cache"))
    return session


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, ()),
        (signal.SIGTERM, ("--energy-checkpoint", "--energy-resume", "-k", "stego")),
        (signal.SIGTERM, ("--energy-world-size=2",)),
    ],
)
def test_a_signal_ends_the_pretraining_and_it_does_not_start_again(
    endless: pytest.Pytester, number: int, options: tuple[str, ...]
) -> None:
    arguments = ("--energy-models=endless", "--benchmark-json=run.json", *options)
    process = ForkedSession(endless.path, arguments)
    steps = endless.path / "steps.txt"
    process.wait_until(steps.exists)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert len(steps.read_text().splitlines()) < 5, "it was not started again"
    assert output.count("pretraining endless on digits, once, for 12 epochs on cpu") == 1
    records = [
        one.record for one in Journal(endless.path / ".energybench/journal.jsonl").read().entries
    ]
    assert {record.status for record in records} <= {"interrupted"}


def test_the_log_says_that_a_network_is_pretrained_and_by_which_seed(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path))
    options = (
        "--energy-max-epochs=1",
        "--energy-tolerance=100",
        "--energy-seeds=2",
        "-k",
        "baseline",
    )
    first = session.runpytest_subprocess(*options)
    first.assert_outcomes(passed=2)
    said = [line for line in first.outlines if line.startswith("pretraining tiny on digits, once")]
    assert len(said) == 2
    assert said[0] != said[1]
    assert "pretraining" not in session.runpytest_subprocess(*options).stdout.str()
