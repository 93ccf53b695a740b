"""What GitHub renders, by a parser of CommonMark with GitHub's tables."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.saved_runs import cell, estimated, failed

from energybench.errors import printable
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.against import findings
from energybench.report.comparison import compare
from energybench.report.gate import judge, parse_limits
from energybench.report.quoting import github_text
from energybench.report.tables.github import LARGEST, comparison_github, history_github

BREAK = "\u200b"
MARKUP = (
    *("|", "`", "<b>", "</details>", "<!--", "@ada", "#12", "GH-7", "www.x.org", "https://x.org"),
    *("[a](b)", "![a](b)", "**", "__", "~~", "\\", "$x$", ":+1:", "&lt;", "\n\n# h", "\r"),
    *("\x1b[2J", "\u202e", " - [x] ", "| --- |", "[^1]", "{", "'", '"', "\u200b", "é", "name"),
)
NAMES = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(MARKUP), max_size=6).map("".join))
OURS = {
    "p",
    "details",
    "summary",
    "strong",
    "ul",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "span",
}


class Page(HTMLParser):
    """The tags of a page, and the texts of its table's cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[list[str]] = []
        self.text = ""
        self.in_cell = False
        self.feed(html)
        self.cells = [[cell.strip() for cell in row] for row in self.cells]

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        assert not attrs, f"{tag} has {attrs}"
        self.tags.append(tag)
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.cells[-1][-1] += data


def rendered(text: str) -> Page:
    return Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def github(
    old: Sequence[RunRecord], new: Sequence[RunRecord], limits: str = "", label: str = "new"
) -> str:
    found = compare({"old": old, label: new})
    asked = parse_limits(limits) if limits else ()
    return comparison_github(found, asked, judge(found, asked) if asked else None)


@settings(max_examples=300, deadline=None)
@given(NAMES)
def test_any_text_is_shown_as_it_is_and_is_nothing_else(name: str) -> None:
    page = rendered(f"| head |\n| --- |\n| a {github_text(name)} b |")
    assert [len(row) for row in page.cells] == [1, 1]
    assert set(page.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "span"}
    shown = page.cells[1][0].replace(BREAK, "")
    assert " ".join(shown.split()) == " ".join(f"a {printable(name)} b".split())


@settings(max_examples=200, deadline=None)
@given(NAMES)
def test_no_user_issue_or_link_is_in_what_github_looks_through(name: str) -> None:
    """GitHub looks for them in the text, after the escapes are gone."""
    page = rendered(f"- a {github_text(name)} b")
    found = re.findall(r"(?i)@\w|#\w|gh-\d|www\.|:/|\w@\w|:\w+:", page.text)
    assert found == []


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES, NAMES, NAMES)
def test_no_name_in_a_run_breaks_the_page(model: str, method: str, error: str, label: str) -> None:
    old = [cell(), cell(method, model=model), cell("other", model=model, changes={"status": "ok"})]
    new = [cell(), cell(method, joules=2000.0, model=model), failed("other", error=error)]
    text = github(old, new, "kwh:5%", label=f"new {label}")
    page = rendered(text)
    assert set(page.tags) <= OURS
    assert page.tags.count("details") == page.tags.count("summary") == page.tags.count("table") == 1
    widths = {len(row) for row in page.cells}
    assert len(widths) == 1
    assert text.endswith("\n</details>")


def test_the_verdict_is_the_first_line_and_the_table_is_folded() -> None:
    old, new = [cell(), cell("stego", joules=600.0)], [cell(), cell("stego", joules=700.0)]
    text = github(old, new, "kwh:5%,accuracy:1pp")
    assert "\n" not in text.split("\n\n<details>")[0]
    page = rendered(text)
    assert page.text.strip().startswith(
        "energybench: Worse than allowed (kwh:\u200b5%, accuracy:\u200b1pp): resnet18 stego in "
        "new: kwh +16.67 %, limit 5 % (1 seed)."
    )
    assert page.cells[2][:2] == ["resnet18", "stego"]
    assert page.cells[0][:4] == ["model", "method", "B ratio", "A energy"]
    assert page.cells[2][2] == "1.167"
    assert (
        "Within the limits (kwh:\u200b20%): 2 rows compared."
        in rendered(github(old, new, "kwh:20%")).text
    )
    assert "2 rows of 2 runs, no limit given." in rendered(github(old, new)).text


def test_an_estimate_is_called_one_and_is_never_judged_beside_a_measurement() -> None:
    assert "Energy is an estimate here" in github([estimated()], [estimated()], "kwh:5%")
    assert "estimate" not in github([cell()], [cell()], "kwh:5%")
    text = rendered(github([cell()], [estimated()], "kwh:5%")).text
    assert (
        "Not judged: kwh:\u200b5% would compare an estimate with a measurement: resnet18 baseline"
        in text
    )


def test_that_a_mean_has_no_interval_is_said_once() -> None:
    three = [cell(method, seed) for method in ("baseline", "stego") for seed in range(3)]
    text = github(three, three)
    assert text.count("too few for an interval") == 1
    assert "too few" not in github([cell()], [cell()])


def test_nothing_in_common_is_said() -> None:
    assert "**Nothing to compare**" in github([cell()], [cell("stego")], "kwh:5%")


def test_a_limit_that_was_not_applied_is_counted() -> None:
    old, new = [cell(), cell("stego")], [cell(), cell("stego", joules=None)]
    text = github(old, new, "kwh:5%")
    assert "1 could not be applied" in text
    assert "- kwh&#58;&#8203;5% not applied to 1 of 2 rows: not known" in text


@pytest.mark.parametrize("name", ["m", "|" * 150, "x" * 5000])
def test_a_long_comparison_fits_and_says_what_is_cut(name: str) -> None:
    old = [cell(f"{n}{name}") for n in range(400)]
    new = [cell(f"{n}{name}", joules=2000.0) for n in range(400)]
    text = github(old, new, "kwh:5%")
    assert len(text.encode()) <= 65_536
    assert len(text.encode()) > 0.8 * LARGEST
    page = rendered(text)
    assert page.tags.count("details") == 1
    assert " of 400 rows" in page.text or " of 400 offences" in page.text
    assert "the terminal has all" in page.text
    assert text.endswith("\n</details>")


def history(factors: Sequence[float], limits: str = "") -> str:
    runs = [Run(f"r{n}", Path("r"), (cell(joules=1000.0 * f),)) for n, f in enumerate(factors)]
    asked = parse_limits(limits) if limits else ()
    shown = findings(runs[-1], runs[:-1], asked or parse_limits("kwh:0%"))
    return rendered(history_github(shown, asked, notes=["2 files: left out"])).text.strip()


def test_a_history_begins_with_its_verdict() -> None:
    steady = [1.0, 1.01, 0.99, 1.005, 0.995, 1.002]
    assert history(steady).startswith("energybench: No regression in 1 series of runs.")
    assert history(steady, "kwh:5%").startswith(
        "energybench: No regression beyond the limits (kwh:"
    )
    assert history(steady[:3]).startswith("energybench: Too few runs")
    stepped = history([*steady, *steady, 1.3, 1.3, 1.31], "kwh:5%")
    assert stepped.startswith(
        "energybench: Worse than allowed (kwh:\u200b5%): resnet18 baseline: kwh: regr"
    )
    assert "regression since r12" in stepped
    assert "2 files: left out" in stepped
    alone = history([*steady, *steady, 1.3, 1.3, 1.31])
    assert alone.startswith("energybench: Regression: resnet18 baseline: kwh: regression since r12")
