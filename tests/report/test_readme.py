"""The results in the pages are those of the committed records, word for word."""

import re
from pathlib import Path

import pytest
from support.saved_runs import cell, save

from energybench.app.cli import main
from energybench.errors import UsageError
from energybench.records.saved import Run, read_runs
from energybench.report.facts import facts
from energybench.report.readme import fill
from energybench.report.sections import sections

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "results.md"]
BLOCK = "# Mine\n\n<!-- {kind} of {name} -->\nold\n<!-- end of results -->\n\nAnd more.\n"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_pages_say_what_the_committed_records_say(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    names = dict.fromkeys(re.findall(r"^<!-- \w+ of (\S+\.json) -->$", text, re.MULTILINE))
    assert names
    runs = {name: read_runs([str(ROOT / name)], need_records=False)[0] for name in names}
    assert fill(text, runs) == text, f"run: energybench report {' '.join(names)} --readme {path}"


def test_the_readme_is_honest_about_a_run_at_the_floor() -> None:
    """The first published run: eight of nine baselines stop as soon as the protocol allows."""
    text = fill(
        BLOCK.format(kind="results", name="run"),
        {"run": read_runs([str(ROOT / "results" / "digits-cpu-2core.json")])[0]},
    )
    if "8 of 9 baselines stopped after 4 epochs" in text:
        assert "0 reproduced, 0 not reproduced, 0 undecided, 10 cannot be judged." in text


def test_a_block_has_sentences_table_commit_and_machine() -> None:
    records = (cell(epochs=9), cell("prune", joules=600.0, epochs=5, correct=90))
    run = Run("run", Path("run.json"), records, commit="88cf6ac", measured_on="2026-11-24")
    text = fill(BLOCK.format(kind="results", name="run.json"), {"run.json": run})
    assert text.startswith("# Mine\n\n<!-- results of run.json -->\nOn resnet18 prune took 40.0 %")
    assert text.endswith("<!-- end of results -->\n\nAnd more.\n")
    assert "old" not in text
    assert "+40.0 %, 5 epochs, +8.00 pp ✗" in text
    assert "commit 88cf6ac, 2026-11-24; seeds: 1" in text
    assert "a processor, 2 cores, 8 GiB" in text
    assert "0 reproduced, 0 not reproduced, 0 undecided, 10 cannot be judged." in text
    assert fill(text, {"run.json": run}) == text


def test_models_with_unlike_numbers_of_seeds_are_told_apart() -> None:
    cells = [cell(), cell(seed=1), cell(model="alexnet")]
    run = Run("run", Path("run.json"), tuple(cells))
    text = fill(BLOCK.format(kind="results", name="run"), {"run": run})
    assert "- commit not known; seeds: resnet18 2, alexnet 1" in text


def test_the_page_names_commit_and_day_first() -> None:
    run = Run("run", Path("run.json"), (cell(),), commit="88cf6ac", measured_on="2026-11-24")
    (section,) = sections([run])
    assert facts(section)[:2] == [("commit", "88cf6ac"), ("measured on", "2026-11-24")]
    text = fill(BLOCK.format(kind="report", name="run"), {"run": run})
    assert "- commit 88cf6ac, 2026-11-24; seeds: 1\n- CPU and memory: a processor, 2 cores" in text


def test_only_blocks_of_the_given_runs_change(tmp_path: Path) -> None:
    page, name = tmp_path / "PAGE.md", save(tmp_path / "run.json", [cell(), cell("prune")])
    both = BLOCK.format(kind="findings", name="other.json") + BLOCK.format(kind="report", name=name)
    page.write_text(both)
    assert main(["report", name, "--readme", str(page)]) == 0
    text = page.read_text()
    assert "<!-- findings of other.json -->\nold\n" in text
    assert "### run, on a processor" in text
    with pytest.raises(UsageError, match=r"\Ano block of run.json; write <!-- results of run.json"):
        fill(text, {"run.json": read_runs([name])[0]})


def test_a_run_names_its_commit_and_day(tmp_path: Path) -> None:
    (run,) = read_runs([str(ROOT / "results" / "studies" / "tolerance.json")])
    assert re.fullmatch(r"[0-9a-f]{7}( with changes)?", run.commit or "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", run.measured_on or "")
    (plain,) = read_runs([save(tmp_path / "run.json", [cell()])])
    assert (plain.commit, plain.measured_on) == (None, None)
