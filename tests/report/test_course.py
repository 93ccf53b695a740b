"""Epoch 0, the energy to the target and the gain of the arithmetic: tables and a figure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.saved_runs import cell

from energybench.records.record import Evaluation, RunRecord, Start, Target
from energybench.records.saved import Run
from energybench.records.stopping import at_floor, capped
from energybench.report.figures.epochs import target_figure
from energybench.report.page import markdown
from energybench.report.sections import Section
from energybench.report.style import look
from energybench.report.tables.before_after import before_after_table
from energybench.report.tables.bits_or_arithmetic import arithmetic_table
from energybench.report.tables.matrix_rows import result_table


def trained(method: str = "baseline", seed: int = 0, reached: int | None = 2) -> RunRecord:
    """Three epochs of 36 J each, from a loss of 2.98 to 0.23, with PUE 2."""
    record = cell(method, seed, 108.0, epochs=3, pue=2.0, reference=95, correct=95)
    values = ((1.5, 0.6), (0.23, 0.93), (0.3, 0.92))
    epochs = [
        replace(epoch, joules=36.0, validation_loss=loss, validation_metric=value)
        for epoch, (loss, value) in zip(record.epochs, values, strict=True)
    ]
    pretrained, compressed = Evaluation(2.98, 0.4), Evaluation(3.5, 0.3)
    start = Start(pretrained, compressed, Evaluation(3.6, 0.25))
    joules = None if reached is None else 36.0 * reached
    target = Target(0.92, reached, joules)
    return replace(record, epochs=epochs, best_epoch=2, start=start, target=target)


def section(*records: RunRecord) -> Section:
    return Section("run", "a processor", records)


def test_before_and_after_stand_in_a_table() -> None:
    table = before_after_table(section(trained(), cell("prune")))
    (row,) = table.rows
    assert row[:3] == ("resnet18", "baseline", "1")
    assert row[3:] == (
        "2.98 → 3.5 → 0.23",
        "40.00 % → 30.00 % → 93.00 %",
        "25.00 % → 95.00 %",
    )
    text = markdown([Run("run", Path("run.json"), (trained(), cell("prune")))])
    assert "### Before and after fine-tuning" in text
    old = markdown([Run("run", Path("run.json"), (cell(), cell("prune")))])
    assert "### Before and after fine-tuning" not in old


def test_the_energy_to_target_is_a_column() -> None:
    def column(*records: RunRecord) -> list[str]:
        table = result_table(section(*records))
        place = table.headers.index("to target")
        return [row[place] for row in table.rows]

    assert column(trained()) == ["40 mWh"]  # 72 J, and as much again outside the machine
    assert column(trained(reached=None), cell("prune")) == ["not reached", "-"]
    both = column(trained(), trained(seed=1, reached=None))
    assert both == ["40 mWh (1 of 2 seeds)"]
    assert "to target" not in result_table(section(cell())).headers


def test_the_figure_begins_with_the_compressed_weights_and_no_energy() -> None:
    with look():
        figure = target_figure(section(trained(), trained("stego")))
        assert target_figure(section(cell())) is None
    assert figure is not None
    (axes,) = figure.axes
    baseline, target, _, _ = axes.get_lines()
    points = np.asarray(baseline.get_xydata())
    assert points == pytest.approx(np.array([(0, 30), (0.02, 60), (0.04, 93), (0.06, 92)]))
    assert set(np.asarray(target.get_ydata())) == {92.0}


@pytest.mark.parametrize(
    ("record", "floor", "cap"),
    [
        (cell(epochs=4), True, False),
        (cell(epochs=5), False, False),
        (cell(epochs=6, patience=5), True, False),
        (cell(epochs=50), False, True),
        (cell(epochs=4, max_epochs=4), False, True),
        (cell("prune", epochs=4, budget="equal"), False, False),
        (cell(epochs=4, budget="equal"), True, False),
    ],
)
def test_the_floor_and_the_cap_of_epochs(record: RunRecord, floor: bool, cap: bool) -> None:
    assert (at_floor(record), capped(record)) == (floor, cap)


def test_the_arithmetics_gain_is_parted_from_the_methods() -> None:
    def in_bf16(method: str, joules: float) -> RunRecord:
        return cell(method, joules=joules, changes={"precision": "bf16"})

    plain = [cell(changes={"precision": "fp32"}), cell("prune", changes={"precision": "fp32"})]
    alone = [*plain, in_bf16("stego", 600.0)]
    (row,) = arithmetic_table(section(*alone)).rows
    assert row[:4] == ("resnet18", "stego", "bf16", "+40.0 %")
    assert row[4:] == ("baseline-bf16 was not run",) * 2
    (row,) = arithmetic_table(section(*alone, in_bf16("baseline-bf16", 625.0))).rows
    assert row[4:] == ("+37.5 %", "+4.0 %")
    assert arithmetic_table(section(*plain)).rows == ()
