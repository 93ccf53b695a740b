"""A metric whose lower values are better, from the record to every output."""

import csv
import io
import json
from pathlib import Path

import pytest
from support.saved_runs import RMSE, cell, regression, save

from energybench.app.cli.main import main
from energybench.records.entry import Entry
from energybench.records.journal import Journal
from energybench.records.metric import Metric
from energybench.records.record import CompressionReport, RunRecord
from energybench.records.saved import read_runs
from energybench.report.comparison import compare
from energybench.report.gate import judge, parse_limits
from energybench.report.page import markdown, page
from energybench.report.savings import savings
from energybench.report.tables.compared import comparison_text
from energybench.report.tables.journaled import journal_table
from energybench.report.tables.results import result_table

BITS = CompressionReport("stego", {"bits": 18}, 0.5, 0.5, 0.55, [(16.0, 0.5), (20.0, 0.9)])


def trees(rmse: float = 0.7) -> list[RunRecord]:
    """A baseline with an error of 0.5 m, and stego that saves 40 % at another error."""
    return [regression(), regression("stego", rmse=rmse, joules=600.0, compression=BITS)]


def row(text: str, method: str) -> list[str]:
    """The cells of the Markdown row of a method."""
    (line,) = [one for one in text.splitlines() if f"| {method} " in one and "| resnet18" in one]
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("trees") / "trees.json", trees())


def test_a_journal_keeps_the_metric(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for number, record in enumerate(trees()):
        journal.append(Entry(str(number), record, None, "2026-01-01T00:00:00+00:00"))
    found = journal.read()
    assert [entry.record for entry in found.entries] == trees()
    table = journal_table(found.entries)
    assert "rmse" in table.splitlines()[0]
    assert "accuracy" not in table
    assert "0.7 m" in table


def test_a_saving_has_the_drop_in_the_metrics_unit() -> None:
    (worse,), (better,) = savings(trees(0.7)), savings(trees(0.3))
    assert worse.metric == RMSE
    assert worse.drop is not None
    assert worse.drop.value == pytest.approx(0.2)
    assert worse.flags == ("drop beyond tolerance",)
    assert better.drop is not None
    assert better.drop.value == pytest.approx(-0.2)
    assert better.flags == ()


def test_the_tables_name_the_metric_and_its_unit() -> None:
    text = result_table(trees(), "github")
    headers = [cell.strip() for cell in text.splitlines()[0].split("|")]
    assert "rmse" in headers
    assert "accuracy" not in headers
    assert row(text, "stego")[8:10] == ["0.7 m", "+0.2 m"]
    assert row(text, "baseline")[8:10] == ["0.5 m", "+0 m"]


def test_cells_of_two_metrics_in_one_table_name_each() -> None:
    photographs = [cell(model="vgg16"), cell("stego", model="vgg16", correct=97)]
    text = result_table([*trees(), *photographs], "github")
    assert row(text, "stego")[8:10] == ["rmse 0.7 m", "+0.2 m"]
    assert "accuracy 97.00 %" in text
    assert "| metric" in " ".join(text.splitlines()[0].split())


def test_a_comparison_shows_values_and_drops_as_they_are() -> None:
    found = compare({"old": trees(0.5), "new": trees(0.7)})
    assert len(found.rows) == 2
    text = comparison_text(found)
    assert "rmse" in text
    assert "accuracy" not in text
    assert "+0.2 m" in text
    data = json.loads(comparison_text(found, "json"))
    column = data["rows"][1]["runs"]["new"]
    assert "accuracy" not in column
    assert (column["metric"], column["value"], column["drop_unit"]) == ("rmse", 0.7, "m")
    assert column["drop"] == pytest.approx(0.2)
    lines = list(csv.DictReader(io.StringIO(comparison_text(found, "csv"))))
    assert (lines[-1]["metric"], float(lines[-1]["value"])) == ("rmse", 0.7)
    assert float(lines[-1]["drop"]) == pytest.approx(0.2)
    assert "accuracy" not in lines[-1]


def test_another_metric_is_another_setting() -> None:
    other = Metric("mae", higher_is_better=False, unit="m", scale=1.0)
    found = compare({"a": trees(), "b": [regression(metric=other)]})
    assert found.rows == ()
    assert "differ in metric rmse (lower is better" in found.notes[0]
    assert savings([regression(metric=other), *trees()[1:]]) == []


@pytest.mark.parametrize(
    ("before", "after", "limit", "offends"),
    [
        (0.5, 0.7, "rmse:0.1", True),
        (0.5, 0.7, "rmse:0.1m", True),
        (0.5, 0.7, "rmse:0.3 m", False),
        (0.7, 0.5, "rmse:0.1", False),
        (0.5, 0.6, "rmse:0.1", False),
    ],
)
def test_a_limit_by_the_metrics_name_goes_by_its_direction(
    before: float, after: float, limit: str, offends: bool
) -> None:
    runs = {"old": [regression(rmse=before)], "new": [regression(rmse=after)]}
    found = judge(compare(runs), parse_limits(limit))
    assert found.unknown == ()
    allowed = "0.1 m" if "0.1" in limit else "0.3 m"
    line = f"resnet18 baseline in new: rmse +0.2 m, limit {allowed} (1 seed)"
    assert found.offences == ((line,) if offends else ())


def test_a_limit_that_no_cell_has_is_not_passed_silently() -> None:
    found = judge(compare({"a": trees(), "b": trees()}), parse_limits("rsme:0.1,accuracy:1pp"))
    assert found.offences == (
        "limit rsme:0.1: no cell has the metric 'rsme'",
        "limit accuracy:1pp: no cell has the metric 'accuracy'",
    )
    other_unit = judge(compare({"a": trees(), "b": trees()}), parse_limits("rmse:10cm"))
    assert other_unit.offences[0] == (
        "resnet18 baseline in b: rmse is in m, and the limit rmse:10cm is not"
    )


def test_a_limit_leaves_cells_of_other_metrics_alone() -> None:
    both = [*trees(), cell(model="vgg16")]
    worse = [*trees(), cell(model="vgg16", correct=90)]
    found = judge(compare({"a": both, "b": worse}), parse_limits("accuracy:1pp,rmse:0.1"))
    assert found.unknown == ()
    assert found.offences == ("vgg16 baseline in b: accuracy -8.00 pp, limit 1 pp (1 seed)",)


def test_the_gate_of_the_command_takes_the_metric(
    saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    better = save(tmp_path / "better.json", trees(0.5))
    assert main(["compare", saved, better, "--fail-on", "rmse:0.1"]) == 0
    assert main(["compare", better, saved, "--fail-on", "rmse:0.1"]) == 1
    assert "worse than allowed: resnet18 stego in trees: rmse +0.2 m" in capsys.readouterr().err


def test_the_page_says_nothing_of_accuracy(saved: str) -> None:
    text = page(read_runs([saved]))
    before_the_paper = text.partition('<section id="paper">')[0]
    assert "accuracy" not in before_the_paper
    assert "<h3>Energy against rmse</h3>" in text
    assert "rmse drop, m (left of 0: it fell)" in text
    assert "validation rmse, m" in text
    assert "beyond tolerance: the rmse rose by more than allowed" in text
    assert "heights, features 7 (100 test trees)" in text
    assert "Judged here: nothing." in " ".join(text.split())


def test_markdown_has_the_values_and_drops(saved: str) -> None:
    text = markdown(read_runs([saved]))
    assert row(text, "stego")[8:10] == ["0.7 m", "+0.2 m ✗"]
    assert "accuracy" not in text.partition("Against the paper")[0]


def test_figures_of_the_studies_name_the_metric(tmp_path: Path) -> None:
    records = [
        *trees(),
        regression("stego", rmse=0.9, joules=500.0, tolerance=0.5),
        regression("stego-fp32", rmse=0.7),
        regression("prune", rmse=0.6, budget="equal"),
    ]
    text = page(read_runs([save(tmp_path / "studies.json", records)]))
    assert "accuracy" not in text.partition('<section id="paper">')[0]
    assert "tolerance, m" in text
    assert "rmse drop on test trees, m" in text
    assert "rmse drop, m (dashed: tolerance)" in text
    said = "0.5 m against 0.1 m: no difference shown (+16.7 %, one seed), at a drop of +0.4 m."
    assert said in text
