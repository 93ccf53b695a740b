"""Grids of panels: how many stand side by side, and what their legends name."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from support.saved_runs import cell

from energybench.records.record import CompressionReport, RunRecord
from energybench.report.figures.epochs import capacity_figure, epoch_figure
from energybench.report.sections import Section
from energybench.report.style import PAGE_WIDTH, PHONE_WIDTH, look

NINE = tuple(f"net{number}" for number in range(9))


def searched(method: str, model: str, bits: int) -> RunRecord:
    """A cell whose search cleared `bits`, with the joules of its epochs."""
    curve = [(float(bits), 0.9), (bits + 4.0, 0.5)]
    report = CompressionReport(method, {"bits": bits}, 0.5, 0.9, 0.9, curve)
    record = cell(method, model=model, compression=report)
    return replace(record, epochs=[replace(one, joules=25.0) for one in record.epochs])


def section(*records: RunRecord) -> Section:
    return Section("run", "a processor", records)


def columns(figure: Figure | None) -> int:
    assert figure is not None
    return len({round(axes.get_position().x0, 2) for axes in figure.axes})


@pytest.mark.parametrize(("width", "side_by_side"), [(PAGE_WIDTH, 3), (PHONE_WIDTH, 1)])
def test_nine_panels_reflow(width: float, side_by_side: int) -> None:
    nine = section(*(searched("stego", model, 18) for model in NINE))
    with look():
        for draw in (epoch_figure, capacity_figure):
            figure = draw(nine, width)
            assert figure is not None
            assert figure.get_figwidth() == width
            assert len(figure.axes) == 9
            assert columns(figure) == side_by_side
            lowest = figure.axes[-side_by_side:]
            assert all(axes.get_xlabel() for axes in lowest)
            assert all(axes.get_ylabel() for axes in figure.axes[::side_by_side])


def test_a_legend_of_capacities_names_a_method_once_and_the_panels_name_the_bits() -> None:
    records = [searched("stego", "alexnet", 23), searched("stego", "vgg16", 19)]
    records += [searched("stego-once", "vgg16", 17)]
    with look():
        figure = capacity_figure(section(*records), PAGE_WIDTH)
    assert figure is not None
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["stego", "tolerance", "stego-once"]
    assert [axes.get_title() for axes in figure.axes] == [
        "alexnet\n23 bits cleared",
        "vgg16\nstego 19, stego-once 17 bits cleared",
    ]
