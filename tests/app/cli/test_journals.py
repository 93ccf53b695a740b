"""`energybench export` for other programs."""

import json
from pathlib import Path

import pytest
from support.saved_runs import cell, save

from energybench.app.cli.main import main


@pytest.fixture
def run(tmp_path: Path) -> str:
    return save(tmp_path / "run.json", [cell(), cell("stego", joules=600.0)])


def test_a_run_goes_to_the_standard_output_or_to_a_file(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", run, "--format", "action-benchmark"]) == 0
    shown = capsys.readouterr().out
    assert len(json.loads(shown)) == 8
    target = tmp_path / "points.json"
    assert main(["export", run, "--format", "action-benchmark", "-o", str(target)]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"wrote {target}\n")
    assert target.read_text() == shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.json", "--format", "action-benchmark"], "cannot read gone.json"),
        (["RUN", "--format", "action-benchmark", "-o", "no/folder.json"], "cannot write"),
        (["RUN", "--format", "action-benchmark", "-o", "RUN"], "is a run that this command reads"),
        (["RUN"], "-o RUN.json is missing"),
    ],
)
def test_mistakes_are_one_line(
    run: str, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    before = Path(run).read_bytes()
    assert main(["export", *(run if one == "RUN" else one for one in arguments)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1
    assert Path(run).read_bytes() == before
