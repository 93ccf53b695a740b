import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import cell
from torch import nn

from energybench.app.cli.main import main
from energybench.records.record import CompressionReport
from energybench.registry import MODELS
from energybench.workloads.images.networks import ModelSpec

GOLDEN = str(Path(__file__).parents[2] / "records" / "golden" / "run-v6.json")


class Tiny(ModelSpec):
    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))


def record(method: str, joules: float) -> dict[str, Any]:
    return cell(
        method,
        joules=joules,
        seconds=100.0,
        search_joules=0.0 if method == "baseline" else 90.0,
        compression=CompressionReport(method, {}, 0.25, None, None),
    ).to_json()


def save(path: Path, *records: dict[str, Any]) -> str:
    benchmarks = [{"extra_info": {"energybench": data}} for data in records[1:]]
    path.write_text(
        json.dumps({"benchmarks": benchmarks, "energybench": {"records": list(records[:1])}})
    )
    return str(path)


def test_show_prints_savings_against_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save(tmp_path / "run.json", record("stego", 360.0), record("baseline", 600.0))
    assert main(["show", run, "--format", "tsv"]) == 0
    header, baseline, stego = (
        [cell.strip() for cell in line.split("\t")] for line in capsys.readouterr().out.splitlines()
    )
    cells = dict(zip(header, stego, strict=True))
    assert baseline[1] == "baseline"
    assert cells["saving"] == "+40.0 %"
    assert cells["with search"] == "+25.0 %"
    assert cells["energy"] == "100 mWh"
    assert cells["time"] == "1 min 40 s"
    assert cells["source"] == "rapl"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[]", "is not a file of pytest-benchmark's"),
        ('{"benchmarks": []}', "has no energybench records"),
        ('{"benchmarks": [{"extra_info": {"energybench": {}}}]}', "record it again"),
    ],
)
def test_show_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    (tmp_path / "run.json").write_text(text)
    assert main(["show", str(tmp_path / "run.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_list_and_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "convnext_base" in capsys.readouterr().out
    assert main(["pretrain", "resnet81"]) == 2
    assert "did you mean resnet18" in capsys.readouterr().err
    assert main(["show", "nothing.json"]) == 2
    assert "cannot read nothing.json" in capsys.readouterr().err


def test_capacity_of_a_network_as_table_and_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Tiny("tiny", 0, "1", small_image_size=8)
    monkeypatch.setattr(MODELS, "get", lambda name: spec)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path))
    graph = tmp_path / "capacity.svg"
    assert main(["capacity", "--model=resnet18", "--strategy=bisect", "-o", str(graph)]) == 0
    out = capsys.readouterr().out
    for way in ("cleared", "rounded", "random"):
        assert f"resnet18, {way}" in out
        assert f"resnet18, {way}" in graph.read_text()


def test_pretrain_makes_the_weights_of_every_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Tiny("tiny", 0, "1", small_image_size=8)
    monkeypatch.setattr(MODELS, "get", lambda name: spec)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path))
    paths = []
    for arguments in (["--seeds=2"], []):
        assert main(["pretrain", "resnet18", "--device=cpu", *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        paths.append([line.split("%")[-1].strip() for line in lines])
    assert len(set(paths[0])) == 2
    assert all(Path(path).exists() for path in paths[0])
    assert paths[1] == paths[0][:1], "a single seed is seed 0"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model=resnet19"], "did you mean resnet1"),
        (["-o", "graph.pdf"], "neither .svg nor .png"),
        (["-o", "no/such/graph.svg"], "its folder does not exist"),
        (["--dataset=digit"], "did you mean digits"),
        (["--dataset=folder:no/where"], "--dataset: no/where is not a folder"),
        (["--weights=no/where"], "--weights: no weights at no/where"),
        (["--device=tpu"], "--device is tpu"),
        (["--tolerance=-1"], "at least 0"),
    ],
)
def test_capacity_says_in_one_line_what_is_wrong(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("command", "redirection", "unbuffered", "says"),
    [
        (["show", GOLDEN], ">&-", "", "it is closed"),
        (["show", GOLDEN], ">/dev/full", "", "No space left on device"),
        (["compare", GOLDEN], ">/dev/full", "1", "No space left on device"),
        (["--help"], ">/dev/full", "1", "No space left on device"),
    ],
    ids=["closed", "full", "full at the first line", "full at the help"],
)
def test_a_standard_output_that_cannot_be_written_is_one_line(
    command: list[str],
    redirection: str,
    unbuffered: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    shell = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "energybench"]
    done = subprocess.run([*shell, *command], stderr=subprocess.PIPE, text=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"energybench: cannot write to standard output: {says}")
    assert done.returncode == 2, "1 is for an exceeded limit"


def test_a_closed_standard_error_puts_no_error_into_the_output(tmp_path: Path) -> None:
    shell = ["sh", "-c", '"$@" 2>&-', "sh", sys.executable, "-m", "energybench", "show", "gone"]
    done = subprocess.run(shell, stdout=subprocess.PIPE, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")


def test_an_output_of_a_narrow_encoding_shows_what_it_lacks_escaped(tmp_path: Path) -> None:
    name = tmp_path / "run.json"
    save(name, record("baseline", 1.0) | {"model": "réseau"})
    shell = [sys.executable, "-m", "energybench", "show", str(name)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(shell, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "r\\xe9seau" in done.stdout
