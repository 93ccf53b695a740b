"""The noise floor on cells that differ by noise alone, and on cells that do not."""

import math

import numpy as np
import pytest
from support.saved_runs import cell, failed

from energybench.records.record import RunRecord
from energybench.report.comparison import compare
from energybench.report.figures.saved_energy import saving_figure
from energybench.report.findings import finding
from energybench.report.floor import floor, wide_floor_line
from energybench.report.headline import headline
from energybench.report.savings import NONE, savings
from energybench.report.sections import Section
from energybench.report.style import look
from energybench.report.tables.compared import comparison_text
from energybench.report.tables.results import result_table

AGAIN = "baseline-again"


def equal_pairs(rng: np.random.Generator, count: int, noise: float = 0.03) -> list[RunRecord]:
    """Baselines of models of many sizes, each a second time; they differ by noise alone."""
    records = []
    for number in range(count):
        size = 100.0 * 1.5**number
        for method in ("baseline", AGAIN):
            joules = size * math.exp(rng.normal(0.0, noise))
            records.append(cell(method, model=f"net{number}", joules=joules))
    return records


def printed(records: list[RunRecord], method: str = AGAIN) -> list[str]:
    """The column "saving" of the live table, in the rows of `method`."""
    lines = [line.split("\t") for line in result_table(records, "tsv").splitlines()]
    place = [name.strip() for name in lines[0]].index("saving")
    return [line[place].strip() for line in lines[1:] if line[1].strip() == method]


def test_of_twenty_equal_pairs_at_most_one_prints_a_saving() -> None:
    rng = np.random.default_rng(16)
    saved = []
    for _ in range(20):
        found = printed(equal_pairs(rng, 20))
        assert len(found) == 20
        saved.append(sum(not one.startswith("none (±") for one in found))
    assert max(saved) <= 1


@pytest.mark.parametrize("repetitions", [1, 3, 9])
def test_a_method_equal_to_its_baseline_saves_nothing_however_few_repetitions(
    repetitions: int,
) -> None:
    """The floor of few repetitions is wide enough: 400 methods that change nothing."""
    rng = np.random.default_rng(17)
    wrong = 0
    for _ in range(400):
        noise = floor(equal_pairs(rng, repetitions))
        assert noise is not None
        wrong += abs(rng.normal(0.0, 0.03 * math.sqrt(2.0))) > noise.width()
    assert wrong <= 12  # 1 in 100


def test_several_repetitions_in_a_block_are_pooled() -> None:
    rng = np.random.default_rng(18)
    records = []
    for seed in range(40):
        for method in ("baseline", AGAIN, f"{AGAIN}-2", f"{AGAIN}-3"):
            records.append(cell(method, seed, 1000.0 * math.exp(rng.normal(0.0, 0.03))))
    noise = floor(records)
    assert noise is not None
    assert noise.freedom == 120
    assert noise.spread == pytest.approx(0.03 * math.sqrt(2.0), rel=0.15)
    assert noise.width(4) == pytest.approx(noise.width() / 2.0)


def test_a_saving_above_the_floor_is_printed_and_one_within_it_is_none_everywhere() -> None:
    records = []
    for number, again in enumerate((1010.0, 985.0, 1005.0, 992.0)):
        model = f"net{number}"
        records += [cell(model=model), cell(AGAIN, model=model, joules=again)]
        records += [cell("stego", model=model, joules=970.0)]
        records += [cell("prune", model=model, joules=600.0)]
    noise = floor(records)
    assert noise is not None
    assert noise.text() == "±5 %"
    assert printed(records, "stego") == ["none (±5 %)"] * 4
    assert printed(records, "prune") == ["+40.0 %"] * 4
    assert {one.effect for one in savings(records) if one.method == "stego"} == {NONE}
    text = comparison_text(compare({"run": records}))
    assert text.count("none (±5 %)") == 4
    assert text.count("+40.0 %") == 4
    section = Section("run", "a processor", tuple(records))
    said = headline(section)
    assert "Stego took less energy on 0 of 4 models" in said
    assert "±5 %" in said
    assert finding("controls", section) == ""


def test_one_repetition_does_not_turn_a_saving_into_none() -> None:
    records = [cell(), cell(AGAIN, joules=960.0), cell("prune", joules=750.0)]
    assert printed(records, "prune") == ["+25.0 % (noise unknown)"]
    line = wide_floor_line(floor(records))
    assert line is not None
    assert line.startswith("noise unknown: one repeated baseline cannot tell it (±")
    assert line.endswith("--energy-floor=3 can")
    calm = [cell(), cell(AGAIN, joules=999.0), cell("prune", joules=750.0)]
    assert wide_floor_line(floor(calm)) is None
    assert printed(calm, "prune") == ["+25.0 %"]


def test_a_repetition_is_neither_a_method_nor_a_control() -> None:
    records = [cell(), cell(AGAIN, joules=600.0), cell("stego", joules=610.0)]
    (stego,) = savings(records)
    assert stego.method == "stego"
    assert stego.control is None
    section = Section("run", "a processor", tuple(records))
    assert section.methods == ["stego"]


def test_without_a_repetition_no_floor_is_known() -> None:
    assert floor([cell(), cell("stego")]) is None
    assert floor([cell(), failed(AGAIN)]) is None
    assert floor([cell(), cell(AGAIN, seed=1)]) is None
    assert floor([cell(), cell(AGAIN, joules=None)]) is None
    assert floor([cell(), cell(AGAIN, source="codecarbon_estimate")]) is None


def test_the_floor_of_equal_energies_is_zero() -> None:
    records = [cell(), cell(AGAIN), cell("stego", joules=999.0)]
    assert printed(records) == ["none (±0 %)"]
    assert printed(records, "stego") == ["+0.1 %"]


def test_the_figure_of_savings_has_the_floor_behind_each_point() -> None:
    records = [cell(), cell(AGAIN, joules=1002.0), cell("prune", joules=600.0)]
    section = Section("run", "a processor", tuple(records))
    assert section.noise is not None
    with look():
        figure = saving_figure(section)
    assert figure is not None
    (bar,) = figure.axes[0].patches
    ends = bar.get_x(), bar.get_x() + bar.get_width()  # type: ignore[attr-defined]
    width = section.noise.width()
    assert ends == pytest.approx((100 * (1 - math.exp(width)), 100 * (1 - math.exp(-width))))
