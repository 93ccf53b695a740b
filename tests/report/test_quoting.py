"""Names from a foreign file, as commands show them."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from support.saved_runs import cell

from energybench.app.cli.main import main
from energybench.records.entry import Entry, to_line
from energybench.records.record import Dataset, Weights
from energybench.report.quoting import markdown_cell, spreadsheet_cell

NASTY = "\x1b]0;owned\x07\r\n\u202e\x9b2Jx"
MARKUP = "<img src=//x>|[y](http://z)`"


@pytest.fixture
def foreign(tmp_path: Path) -> tuple[str, str]:
    """A run and a journal whose every name has something for a terminal or Markdown."""
    changes = {
        "machine": {"cpu": NASTY + MARKUP, "logical_cores": NASTY},
        "flags": [NASTY],
        "dataset": Dataset(NASTY + MARKUP, "f", details={NASTY: NASTY}),
        "weights": Weights(NASTY + MARKUP),
    }
    records = [
        cell(method, joules=joules, model=NASTY + MARKUP, device_name=NASTY, changes=changes)
        for method, joules in (("baseline", 1000.0), (f"=cmd{NASTY}|{MARKUP}", 500.0))
    ]
    records.append(cell(NASTY, changes={"status": "failed", "error": NASTY + MARKUP}))
    run = tmp_path / f"run{NASTY.replace('/', '')}.json"
    timed = [{"extra_info": {"energybench": record.to_json()}} for record in records]
    run.write_text(json.dumps({"benchmarks": timed}))
    journal = tmp_path / "journal.jsonl"
    lines = [to_line(Entry(str(n), one, None, NASTY)) for n, one in enumerate(records)]
    journal.write_bytes(b"".join([*lines, b"{}" + NASTY.encode()]))
    return str(run), str(journal)


@pytest.mark.parametrize(
    "command",
    [
        "show RUN",
        "show RUN --format=github",
        "show RUN --format=tsv",
        "show JOURNAL",
        "journal JOURNAL",
        "compare RUN",
        "compare RUN JOURNAL --why",
        "compare RUN JOURNAL --format=markdown",
        "compare RUN JOURNAL --format=csv",
        "compare RUN --format=json",
        "report RUN JOURNAL --markdown",
        "show NOTHING",
    ],
)
def test_no_name_steers_the_terminal(
    foreign: tuple[str, str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    names = {"RUN": foreign[0], "JOURNAL": foreign[1], "NOTHING": f"{NASTY}.json"}
    assert main([names.get(word, word) for word in command.split()]) in (0, 2)
    out, err = capsys.readouterr()
    odd = {one for one in out + err if not one.isprintable()} - {"\n", "\t"}
    assert odd == set()
    assert "\\x1b]0;owned" in (out + err).replace("\\\\", "\\").replace("\\u001b", "\\x1b")


def test_no_name_is_markup_in_a_readme(
    foreign: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["report", "--markdown"], ["compare", "--format=markdown"]):
        assert main([command[0], foreign[0], foreign[1], *command[1:]]) == 0
        out = capsys.readouterr().out
        assert "<img" not in out
        assert "](" not in out
        tables = [line for line in out.splitlines() if line.startswith("|")]
        columns = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in tables[:3]}
        assert len(columns) == 1, "no name ends a cell"


def test_no_name_is_a_formula_in_a_spreadsheet(
    foreign: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", foreign[0], "--format=csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["method"][:5] for row in rows} == {"basel", "'=cmd"}
    assert main(["show", foreign[0], "--format=tsv"]) == 0
    cells = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert {len(line) for line in cells} == {len(cells[0])}
    assert not any(cell.strip().startswith("=") for line in cells for cell in line)


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1+1", "'=1+1"), ("-1+1", "'-1+1"), ("+cmd|x", "'+cmd|x"), ("@SUM(A1)", "'@SUM(A1)")],
)
def test_formulas(text: str, cell: str) -> None:
    assert spreadsheet_cell(text) == cell


@pytest.mark.parametrize("text", ["-", "+40.0 %", "-0.02 m", "+34.0 % [30.1, 37.5]", "p < 0.001"])
def test_numbers_stay_as_they_are(text: str) -> None:
    assert spreadsheet_cell(text) == markdown_cell(text) == text
