"""The figure of energy saved against the drop: nothing is compared that nobody chooses between."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from support.saved_runs import cell

from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.figures.drops import (
    COSTS,
    FRONT,
    TOO_FAR,
    pareto,
    pareto_figure,
    pareto_marks,
)
from energybench.report.sections import Section, sections
from energybench.report.style import PAGE_WIDTH, PHONE_WIDTH, look


def drawn(*records: RunRecord, width: float = PAGE_WIDTH) -> Figure:
    with look():
        figure = pareto_figure(Section("run", "a processor", records), width)
    assert figure is not None
    return figure


def named(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def two_models() -> list[RunRecord]:
    """On each model prune saves and loses, and lowrank costs."""
    return [
        record
        for model in ("alexnet", "vgg16")
        for record in (
            cell(model=model),
            cell("prune", model=model, joules=600.0, correct=97.5),
            cell("lowrank", model=model, joules=1400.0, correct=98.5),
        )
    ]


def test_each_model_has_its_own_panel_and_no_front_joins_two() -> None:
    figure = drawn(*two_models())
    assert [axes.get_title() for axes in figure.axes] == ["alexnet", "vgg16"]
    for axes in figure.axes:
        (front,) = [line for line in axes.get_lines() if line.get_label() == FRONT]
        points = np.asarray(front.get_xydata())
        assert points == pytest.approx(np.array([(-0.5, -40), (0, 0), (0.5, 40)]))


def test_what_costs_more_and_what_drops_too_far_is_shaded_and_named() -> None:
    far = drawn(cell(), cell("prune", joules=1500.0, correct=95))
    assert {COSTS, TOO_FAR, "hollow: drop beyond the tolerance"} <= set(legend(far))
    (axes,) = far.axes
    (shade,) = [one for one in axes.patches if one.get_label() == COSTS]
    assert isinstance(shade, Rectangle)
    assert shade.get_y() == pytest.approx(axes.get_ylim()[0])
    assert shade.get_y() + shade.get_height() == pytest.approx(0.0)
    (far_off,) = [one for one in axes.patches if one.get_label() == TOO_FAR]
    assert isinstance(far_off, Rectangle)
    assert far_off.get_x() == 1.0
    fine = drawn(cell(), cell("prune", joules=500.0))
    assert legend(fine) == ["baseline", "prune", COSTS]
    better = Section("run", "a processor", (cell(), cell("prune", joules=500.0)))
    assert pareto_marks(better) == []
    assert pareto_marks(Section("run", "a processor", tuple(two_models())))


def test_a_legend_names_only_what_occurs() -> None:
    records = [cell(), cell("prune", joules=500.0), cell("lowrank", joules=600.0)]
    records += [cell("stego", joules=None)]
    assert legend(drawn(*records))[:3] == ["baseline", "prune", "lowrank"]
    assert not any("stego" in one or "beyond" in one for one in legend(drawn(*records)))


@pytest.mark.parametrize("width", [PAGE_WIDTH, PHONE_WIDTH])
def test_labels_are_methods_and_none_lies_upon_another(width: float, matrix: list[Run]) -> None:
    (section,) = sections(matrix)
    figure = drawn(*section.records, width=width)
    assert len(named(figure)) == 27
    assert set(named(figure)) == {"stego", "prune", "lowrank"}
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_cells_in_one_place_share_a_label_that_says_how_they_differ() -> None:
    cells = [
        cell("stego", joules=joules, tolerance=tolerance)
        for joules, tolerance in ((800.0, 0.5), (801.0, 1.0), (400.0, 2.0))
    ]
    figure = drawn(cell(), *cells)
    assert [axes.get_title() for axes in figure.axes] == ["resnet18, by tolerance"]
    assert sorted(named(figure)) == ["stego 0.5, 1.0", "stego 2.0"]
    assert TOO_FAR not in legend(figure)  # each cell has its own


def test_a_front_rises_from_one_point_to_the_next_and_holds_the_baseline() -> None:
    front = pareto([(1.0, 30.0), (2.0, 20.0), (0.5, -10.0), (-1.0, -50.0)])
    assert front == [(-1.0, -50.0), (0.0, 0.0), (1.0, 30.0)]
    assert all(one[1] < other[1] for one, other in pairwise(front))
