"""The figures of savings and of their factors."""

from matplotlib.figure import Figure
from support.saved_runs import cell

from energybench.records.record import RunRecord
from energybench.report.figures import FIGURES
from energybench.report.figures.dots import HOLLOW
from energybench.report.figures.saved_energy import factor_figure, saving_figure
from energybench.report.sections import Section
from energybench.report.style import PAGE_WIDTH, PHONE_WIDTH, look


def section(*records: RunRecord) -> Section:
    return Section("run", "a processor", records)


def two_models() -> Section:
    return section(
        *(
            cell(method, model=model, joules=joules)
            for model in ("alexnet", "vgg16")
            for method, joules in (("baseline", 1000.0), ("stego", 900.0), ("prune", 700.0))
        )
    )


def lines(figure: Figure | None) -> list[tuple[str, str]]:
    """The names beside the lines, with their weight."""
    assert figure is not None
    (axes,) = figure.axes
    return [(str(one.get_fontweight()), one.get_text()) for one in axes.get_yticklabels()]


def legend(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def test_the_lines_of_a_model_stand_below_its_name() -> None:
    with look():
        for draw in (saving_figure, factor_figure):
            assert lines(draw(two_models())) == [
                ("bold", "alexnet"),
                ("normal", "stego"),
                ("normal", "prune"),
                ("bold", "vgg16"),
                ("normal", "stego"),
                ("normal", "prune"),
            ]
        alone = saving_figure(section(cell(), cell("stego")))
    assert lines(alone) == [("normal", "stego")]


def test_the_legend_of_factors_leaves_out_what_changed_nothing() -> None:
    with look():
        figure = factor_figure(section(cell(), cell("prune", joules=2000.0, epochs=8)))
        steps = factor_figure(section(cell(), cell("prune", joules=2000.0, epochs=8, steps=14)))
    assert "steps per epoch" not in legend(figure)
    assert {"energy", "epochs"} <= set(legend(figure))
    assert "steps per epoch" in legend(steps)


def test_the_legend_of_savings_names_only_the_marks_that_occur() -> None:
    def named(*records: RunRecord) -> list[str]:
        with look():
            return legend(saving_figure(section(*records)))

    assert named(cell(), cell("stego")) == []
    assert named(cell(), cell("stego", correct=90)) == [HOLLOW]
    noisy = [cell(), cell("baseline-again", joules=1010.0), cell("stego")]
    assert named(*noisy) == ["noise floor"]
    seeds = [
        cell(method, seed, joules * (1.0 + seed / 100))
        for seed in range(5)
        for method, joules in (("baseline", 1000.0), ("stego", 700.0 + seed))
    ]
    assert named(*seeds) == ["95 % interval over seeds"]
    words = FIGURES["saving"].caption
    assert "hollow" not in words
    assert "noise floor" not in words


def test_a_figure_is_as_wide_as_its_reader() -> None:
    with look():
        for width in (PAGE_WIDTH, PHONE_WIDTH):
            for draw in (saving_figure, factor_figure):
                figure = draw(two_models(), width)
                assert figure is not None
                assert figure.get_figwidth() == width
