"""Runs on image folders as people have them."""

import importlib
import json
import os
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

from energybench.app.cli.main import main
from energybench.workloads.images.networks import ModelSpec

NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def options(
    session: pytest.Pytester, tiny_package: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Options of a short run on class folders, whose names are not UTF-8, as of other files."""
    monkeypatch.syspath_prepend(tiny_package)
    tiny = importlib.import_module("tiny_energy").tiny
    assert isinstance(tiny, ModelSpec)
    network = tiny.build(2)
    save_file(network.state_dict(), session.path / "mine.safetensors")
    for split, count in (("train", 20), ("valid", 3)):
        for name in ("a", NOT_UTF8):
            folder = session.path / NOT_UTF8 / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{number}.png")
    return [
        "--energy-methods=baseline",
        f"--energy-dataset=folder:{NOT_UTF8}",
        "--energy-weights=mine.safetensors",
        f"--energy-journal={NOT_UTF8}.jsonl",
        "--energy-max-epochs=1",
        "--energy-batch-size=6",
        "--benchmark-json=out.json",
    ]


def test_names_that_are_not_utf8_reach_journal_json_and_report(
    session: pytest.Pytester, options: list[str]
) -> None:
    bad = session.path / NOT_UTF8 / "valid" / NOT_UTF8 / f"{NOT_UTF8}.png"
    bad.write_bytes(b"no image")
    result = session.runpytest_subprocess(*options, "--energy-bad-images=skip")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([r"*left out: valid/caf\xe9/caf\xe9.png (not an image*"])
    resumed = session.runpytest_subprocess(*options, "--energy-bad-images=skip", "--energy-resume")
    resumed.stdout.fnmatch_lines(["*resumed from*1*"])
    dataset = json.loads(Path("out.json").read_text())["benchmarks"][0]["extra_info"][
        "energybench"
    ]["dataset"]
    assert dataset["name"] == r"folder:caf\xe9"
    assert dataset["details"]["skipped"][0].startswith(r"valid/caf\xe9/caf\xe9.png: not an image")
    assert main(["report", "out.json", "-o", "page.html"]) == 0
    assert r"caf\xe9" in Path("page.html").read_text(encoding="utf-8")


def test_a_linked_class_is_refused_or_followed(
    session: pytest.Pytester, options: list[str]
) -> None:
    linked = session.path / NOT_UTF8 / "train" / "a"
    linked.rename(session.path / "elsewhere")
    linked.symlink_to(session.path / "elsewhere", target_is_directory=True)
    result = session.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    line = r"ERROR: caf\xe9/train/a is a link out of caf\xe9, to *elsewhere; *--energy-links=foll*"
    result.stderr.fnmatch_lines([line])
    result = session.runpytest_subprocess(*options, "--energy-links=follow")
    result.assert_outcomes(passed=1)
    line = r"links out of caf\xe9 are followed: caf\xe9/train/a to */elsewhere"
    result.stdout.fnmatch_lines([line])
