"""Tables in a narrow terminal."""

from dataclasses import replace

import pytest
from support.saved_runs import cell

from energybench.records.record import RunRecord
from energybench.report.comparison import compare
from energybench.report.tables.compared import comparison_text, why_text
from energybench.report.tables.results import result_table

FAILED = replace(cell("prune"), status="failed", error="nothing here to compress")


def records() -> list[RunRecord]:
    return [cell(), cell("stego", joules=600.0), FAILED]


def table_of(text: str) -> list[str]:
    """The lines of the table alone."""
    lines = text.splitlines()
    return [line for line in lines if line.startswith(("model", "-----", "resnet18  "))]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_results_fit_and_say_what_is_left_out(width: int) -> None:
    text = result_table(records(), width=width)
    table = table_of(text)
    assert max(map(len, table)) <= width
    for name in ("model", "method", "energy", "saving"):
        assert name in table[0]
    (said,) = [line for line in text.splitlines() if line.startswith("left out, to fit")]
    named = said.partition(": ")[2].split(", ")
    whole = table_of(result_table(records()))[0]
    assert all(name in whole and name not in table[0] for name in named)
    assert ("source" in table[0]) != ("source: rapl" in text.splitlines())
    assert "resnet18 prune seed 0: nothing here to compress" in text.splitlines()


def test_several_seeds_stay_apart() -> None:
    two = [*records(), replace(cell("stego"), seed=1)]
    assert "seed" in table_of(result_table(two, width=40))[0]


def test_a_table_that_fits_is_whole() -> None:
    assert "left out" not in result_table(records(), width=200)
    assert result_table([cell()], width=200) == result_table([cell()])
    assert "nothing" not in result_table([], width=40)


@pytest.mark.parametrize("runs", [("a",), ("a", "b")])
@pytest.mark.parametrize("width", [40, 60, 80])
def test_comparisons_fit_and_keep_what_they_compare(runs: tuple[str, ...], width: int) -> None:
    text = comparison_text(compare(dict.fromkeys(runs, records())), width=width)
    assert max(map(len, table_of(text))) <= width
    assert ("ratio" if len(runs) > 1 else "saving") in text
    assert f"left out, to fit {width} columns: watts" in text


def test_an_explanation_fits() -> None:
    text = why_text(compare({"a": records()}), width=60)
    assert max(map(len, table_of(text))) <= 60
    assert "left out, to fit 60 columns: note, over, watts" in text
