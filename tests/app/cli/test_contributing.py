"""`energybench contribute` at the terminal."""

import json
from pathlib import Path

import pytest
from support.contributions import complete, own, save_run

from energybench.app.cli.main import main
from energybench.records.contribution import STATEMENT
from energybench.report.contribution import RULES

ADA = "Ada Lovelace <ada@example.org>"


@pytest.fixture
def run(tmp_path: Path) -> str:
    return save_run(tmp_path / "run.json", complete())


def test_every_rule_has_a_line(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contribute", run]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["pass", rule.name] for rule in RULES]


def test_a_run_that_fails_a_rule_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save_run(tmp_path / "run.json", complete()[:-1])
    out = tmp_path / "ada.json"
    assert main(["contribute", run, "-o", str(out), "--by", ADA]) == 1
    said = capsys.readouterr()
    assert "FAIL  floor     no baseline was repeated; measure with --energy-floor=3" in said.out
    assert said.err == "energybench: 1 of 10 rules fail; nothing was written\n"
    assert not out.exists()


def test_a_run_that_keeps_them_is_signed_off_and_checked_again(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ada.json"
    assert main(["contribute", run, "-o", str(out), "--by", ADA]) == 0
    said = capsys.readouterr()
    assert f"{STATEMENT}\nSigned-off-by: {ADA}\n" in said.out
    assert said.err == f"wrote {out}; open a pull request with it\n"
    assert main(["contribute", str(out)]) == 0
    assert main(["contribute", str(out), "-o", str(tmp_path / "b.json"), "--by", "Eve"]) == 2
    assert "is signed off already, by Ada Lovelace" in capsys.readouterr().err
    out.write_text(out.read_text().replace("1010.0", "1001.0"))
    assert main(["contribute", str(out)]) == 2
    assert "was changed after Ada Lovelace signed it off" in capsys.readouterr().err


def test_fewer_seeds_are_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [own(seed=0), own("prune", 0, 600.0), own("baseline-again")]
    run, out = save_run(tmp_path / "run.json", few), tmp_path / "ada.json"
    assert main(["contribute", run, "-o", str(out), "--by", "Ada"]) == 1
    assert main(["contribute", run, "-o", str(out), "--by", "Ada", "--fewer-seeds"]) == 0
    signed = json.loads(out.read_text())["contribution"]
    assert (signed["signed_off_by"], signed["fewer_seeds"]) == ("Ada", True)
    capsys.readouterr()
    assert main(["contribute", str(out)]) == 0
    assert "fewer in resnet18 baseline (1), resnet18 prune (1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "ada.json"], 'a contribution is signed off; say who by --by "Name <mail>"'),
        (["-o", "ada.json", "--by", "<a@b.c>"], "--by is '<a@b.c>'; write"),
        (["-o", "ada.txt", "--by", ADA], "does not end in .json"),
        (["-o", "none/ada.json", "--by", ADA], "its folder does not exist"),
    ],
)
def test_what_cannot_be_written_is_one_line_before_any_rule(
    run: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["contribute", run, *arguments]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
