"""`energybench compare RUN --against last:N`, at the terminal."""

import json
from pathlib import Path

import pytest
from support.histories import dated
from support.saved_runs import cell, failed

from energybench.app.cli.main import main


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Fourteen runs, of which the last four take a fifth more."""
    for day in range(14):
        joules = 1000.0 + 7 * day % 5 + day / 100 + (200.0 if day >= 10 else 0.0)
        dated(tmp_path / "runs" / f"{day:04}.json", day, [cell(joules=joules)])
    return tmp_path / "runs"


def compare(*arguments: str | Path) -> int:
    return main(["compare", *map(str, arguments)])


def test_a_step_is_shown_and_with_a_limit_it_is_status_1(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = (runs / "0013.json", "--against", "last:20", "--history", runs)
    assert compare(*history) == 0
    out, err = capsys.readouterr()
    assert "regression since 0010 (10abcde, 2026-11-11): +19." in out
    assert err == ""
    assert compare(*history, "--fail-on", "kwh:10%,duration:10%") == 1
    out, err = capsys.readouterr()
    assert "no step in 14 runs" in out  # of durations
    assert err.startswith("energybench: worse than allowed: resnet18 baseline: kwh: regression")
    assert len(err.splitlines()) == 1
    assert compare(*history, "--fail-on", "kwh:30%") == 0


def test_a_later_look_accepts_the_step(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dated(runs / "0014.json", 14, [cell(joules=1204.0)])
    last = (runs / "0014.json", "--history", runs, "--fail-on", "kwh:5%")
    assert compare(*last, "--against", "last:14") == 1
    assert compare(*last, "--against", "last:4") == 0
    assert "no step in 5 runs" in capsys.readouterr().out


def test_a_cell_that_fails_now_is_status_1(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = dated(tmp_path / "new.json", 20, [failed("baseline")])
    history = (new, "--against", "last:5", "--history", runs)
    assert compare(*history) == 0
    assert compare(*history, "--fail-on", "kwh:5%") == 1
    assert "failed: the loss is not finite" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["markdown", "github", "json"])
def test_other_layouts(runs: Path, capsys: pytest.CaptureFixture[str], layout: str) -> None:
    assert (
        compare(runs / "0013.json", "--against=last:20", f"--format={layout}", "--history", runs)
        == 0
    )
    out = capsys.readouterr().out
    if layout == "json":
        assert json.loads(out)["history"][0]["since"]["label"] == "0010"
    else:
        assert "| resnet18" in out
        assert "regression since 0010" in out


def test_a_named_file_and_files_of_a_folder(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [runs / f"{day:04}.json" for day in range(4)]
    assert compare(runs / "0009.json", "--against", "last:20", "--history", *few) == 0
    assert "no step in 5 runs" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    runs.rename(tmp_path / ".benchmarks")
    assert compare(".benchmarks/0013.json", "--against", "last:20") == 0
    assert "regression since 0010" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--against", "main"], "--against=main: write last:N, as in last:20"),
        (["--against", "last:0"], "write last:N"),
        (
            ["--against", "last:5", "--history", "gone"],
            "no file or folder gone; name one with --history",
        ),
        (["--against", "last:5", "--format", "csv"], "--against prints no csv"),
        (["--against", "last:5", "--fail-on", "kwh"], "'kwh' is no limit"),
        (["--against", "last:5", "--why"], "leave out --why and --by"),
        (["--against", "last:5", "--by", "machine"], "leave out --why and --by"),
        (["--against", "last:5", "--across", "pue"], "different PUE are not comparable"),
        (["--history", "runs"], "--history needs --against"),
    ],
)
def test_mistakes_are_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert compare(runs / "0013.json", *arguments) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert len(err.splitlines()) == 1
    assert out == ""


def test_two_runs_or_two_machines_are_refused(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(runs / "0012.json", runs / "0013.json", "--against", "last:5") == 2
    assert "name one RUN" in capsys.readouterr().err
    other = {"cpu": "another", "logical_cores": 2, "ram_gib": 8}
    dated(runs / "0003.json", 3, [cell(machine=other)])
    assert compare(runs / "0013.json", "--against", "last:20", "--history", runs) == 2
    err = capsys.readouterr().err
    assert "resnet18 baseline has two machines in its history: " in err
    assert len(err.splitlines()) == 1


def test_without_ruptures_the_user_is_told_what_to_install(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ruptures", None)
    assert compare(runs / "0013.json", "--against", "last:20", "--history", runs) == 2
    assert "pip install 'energybench[history]'" in capsys.readouterr().err
