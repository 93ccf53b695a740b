"""The tables of cells: what stands beside an energy, and what an unfinished cell leaves out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import cell, language, reading, save

from energybench.energy.readings import CpuUse
from energybench.records.attempt import Attempt
from energybench.records.flat_keys import flat_keys
from energybench.records.record import RunRecord
from energybench.records.saved import read_runs
from energybench.report.page import markdown
from energybench.report.savings import savings
from energybench.report.sections import sections
from energybench.report.tables.matrix_rows import result_table as report_table
from energybench.report.tables.results import result_table

ESTIMATE = "codecarbon_estimate"


def rows(records: list[RunRecord]) -> list[dict[str, str]]:
    """The live table, row by row, by its headers."""
    header, *lines = result_table(records, "tsv").splitlines()
    names = [name.strip() for name in header.split("\t")]
    cells = ([one.strip() for one in line.split("\t")] for line in lines)
    return [dict(zip(names, line, strict=True)) for line in cells]


def report_rows(records: list[RunRecord], folder: Path) -> list[dict[str, str]]:
    """The report's table, row by row, by its headers."""
    (section,) = sections(read_runs([save(folder / "run.json", records)]))
    table = report_table(section)
    return [dict(zip(table.headers, row, strict=True)) for row in table.rows]


def cut_short(method: str, status: str, **rest: Any) -> RunRecord:
    """A cell that ended before its first epoch did, after 390 of the baseline's 1,000 J."""
    changes: dict[str, Any] = {"status": status, "error": status, "epochs": [], "test": None}
    return cell(method, joules=390.0, changes=changes, **rest)


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_cell_that_was_cut_short_saves_nothing(status: str, tmp_path: Path) -> None:
    records = [cell(), cut_short("stego", status), cell("prune", joules=900.0)]
    found = {row["method"]: row for row in rows(records)}
    assert (found["stego"]["saving"], found["stego"]["with search"]) == ("-", "-")
    assert found["prune"]["saving"] == "+10.0 %"
    assert [one.method for one in savings(records)] == ["prune"]
    assert [row["method"] for row in report_rows(records, tmp_path)] == ["baseline", "prune"]
    text = markdown(read_runs([save(tmp_path / "run.json", records)]))
    assert "+61.0 %" not in text
    assert f"{status}: resnet18 stego seed 0" in text


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_nothing_saves_against_a_baseline_that_was_cut_short(status: str) -> None:
    records = [cut_short("baseline", status), cell("stego", joules=200.0)]
    assert [row["saving"] for row in rows(records)] == ["-", "-"]
    assert savings(records) == []


def estimated(method: str, seed: int = 0, own_s: float = 12.0, **rest: Any) -> RunRecord:
    """A cell whose energy is an estimate, and the CPU seconds of its fine-tuning."""
    record = cell(method, seed, source=ESTIMATE, **rest)
    window = replace(reading(1000.0, 10.0, ESTIMATE), cpu=CpuUse(own_s, 14.0, 0.0, 20.0))
    return replace(record, phases=record.phases | {"finetune": window})


def test_cpu_seconds_stand_beside_an_estimate(tmp_path: Path) -> None:
    records = [estimated("baseline"), estimated("baseline", 1, 13.0), estimated("stego", 0, 7.0)]
    assert [row["CPU time"] for row in rows(records)] == ["12.0 s", "7.0 s", "13.0 s"]
    assert [row["CPU time"] for row in report_rows(records, tmp_path)] == ["12.5 s", "7.0 s"]
    assert flat_keys(records[0])["cpu_s"] == 12.0
    assert "CPU time" not in rows([cell()])[0]
    assert "CPU time" not in report_rows([cell()], tmp_path)[0]


def test_tables_name_the_attempt_and_the_disturbance(tmp_path: Path) -> None:
    attempts = [Attempt(["contaminated"], None, 4)] * 2
    again = cell("stego", changes={"attempts": attempts, "flags": ["uneven"]})
    records = [cell(), cell(seed=1, changes={"attempts": attempts[:1]}), again]
    assert [row["source"] for row in rows(records)] == [
        "rapl",
        "rapl, uneven, 3rd attempt",
        "rapl, 2nd attempt",
    ]
    assert [row["note"] for row in report_rows(records, tmp_path)] == [
        "2nd attempt (seed 1)",
        "uneven; 3rd attempt",
    ]
    assert "uneven in 1 of 2 seeds" in str(report_rows([*records, cell("stego", 1)], tmp_path))


def test_language_models_have_perplexity_tokens_and_joules_per_1000(tmp_path: Path) -> None:
    """1,792 tokens in training at 448/s, 1,000 J; a loss of 2 nats on the test."""
    records = [language(), language("prune", joules=500.0), cell()]
    names = ("perplexity", "tokens/s", "J per 1,000 tokens")
    base, pruned, images = ([one[name] for name in names] for one in rows(records))
    assert base == ["7.39", "448", "558"]
    assert pruned == ["7.39", "448", "279"]
    assert images == ["-", "-", "-"], "an image is no token"
    assert not set(names) & set(rows([cell()])[0])
    narrow = result_table([language()], width=100)
    assert "left out, to fit 100 columns: J per 1,000 tokens, tokens/s, perplexity" in narrow
    text = markdown(read_runs([save(tmp_path / "run.json", records)]))
    _, _, part = text.partition("### Tokens")
    shown = [[one.strip() for one in line.split("|")[1:-1]] for line in part.splitlines()[:6]]
    assert shown[2] == ["model", "method", "seeds", "next-token accuracy", *names]
    assert shown[4] == ["gpt2-tiny", "baseline", "1", "98.00 %", *base]
    assert shown[5] == ["gpt2-tiny", "prune", "1", "98.00 %", *pruned]
    assert "perplexity" not in markdown(read_runs([save(tmp_path / "run.json", [cell()])]))
