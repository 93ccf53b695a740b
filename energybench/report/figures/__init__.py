"""Every figure of a report by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from energybench.records.metric import ACCURACY
from energybench.report.figures.drops import pareto_figure, pareto_marks
from energybench.report.figures.epochs import (
    capacity_figure,
    epoch_figure,
    power_figure,
    target_figure,
)
from energybench.report.figures.hardware import (
    generation_figure,
    inference_figure,
    roofline_figure,
)
from energybench.report.figures.operating import operating_figure
from energybench.report.figures.saved_energy import factor_figure, saving_figure
from energybench.report.figures.study_curves import (
    budget_figure,
    composition_figure,
    control_figure,
    tolerance_figure,
)
from energybench.report.sections import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Draw(Protocol):
    """Draws a figure, or returns None for a section without data; called within `style.look()`."""

    def __call__(self, section: Section, width: float = ...) -> "Figure | None":
        """Draw `section`, `width` inches wide."""


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure; `named` fills in "{metric}" and "{items}" in its texts."""

    title: str
    caption: str
    """One or two sentences on how to read the figure."""
    draw: Draw
    marks: Callable[[Section], list[str]] | None = None
    """Returns sentences on marks that only some sections have; they follow the caption."""

    def named(self, metric: str = ACCURACY.name, items: str = "images") -> "FigureKind":
        """Return the figure with the names of a metric and of the data's items in its texts."""
        names = {"metric": metric, "items": items}
        title, caption = self.title.format(**names), self.caption.format(**names)
        return replace(self, title=title, caption=caption)


FIGURES: dict[str, FigureKind] = {
    "saving": FigureKind(
        "Energy saved",
        "Each method against the same model's baseline, facility energy of fine-tuning.",
        saving_figure,
    ),
    "pareto": FigureKind(
        "Energy against {metric}",
        "Up saves energy, right loses {metric}; each model's methods beside its own baseline.",
        pareto_figure,
        pareto_marks,
    ),
    "factors": FigureKind(
        "Why",
        "Energy is epochs x steps per epoch x seconds per step x watts. The parts of a line add up "
        "to its diamond, the ratio of energies.",
        factor_figure,
    ),
    "epochs": FigureKind(
        "Joules per epoch",
        "Of the first seed and setting: how much an epoch takes, and how many there are.",
        epoch_figure,
    ),
    "target": FigureKind(
        "Energy to target",
        "The validation {metric} over the energy spent on training so far, first seed and setting; "
        "a line begins with the compressed weights. Dashed: the baseline's best, less the "
        "tolerance. Who reaches it further left needs less.",
        target_figure,
    ),
    "capacity": FigureKind(
        "Capacity",
        "What the search for cleared bits saw, first seed and setting. Dotted: the bits that it "
        "cleared. Dashed: the worst {metric} within the tolerance.",
        capacity_figure,
    ),
    "power": FigureKind(
        "Power", "Sampled over the cells of the first seed, from loading on.", power_figure
    ),
    "tolerance": FigureKind(
        "What a tolerance buys",
        "The energy saved at each tolerance, and the {metric} lost on test {items}; the search saw "
        "validation {items} only.",
        tolerance_figure,
    ),
    "compositions": FigureKind(
        "Methods combined",
        "Single methods and combinations, best first; dashed: the best single one.",
        composition_figure,
    ),
    "budget": FigureKind(
        "The baseline's epochs for everyone",
        "Without early stopping: the saving is that of an epoch, the drop what the same training "
        "reaches.",
        budget_figure,
    ),
    "controls": FigureKind(
        "Bits or arithmetic, held or once",
        "The same bits in fp32 (stego-fp32), and the arithmetic without any bits cleared "
        "(baseline-…): what they save, stego does not owe to its bits. …-once compresses once and "
        "trains freely, as the paper does; the others hold what they did.",
        control_figure,
    ),
    "roofline": FigureKind(
        "What bounds a step",
        "A point under the slope waits for memory, one under the flat roof for arithmetic. The "
        "roofs were measured on this device; the bytes are an estimate.",
        roofline_figure,
    ),
    "inference": FigureKind(
        "Answers", "Energy of 1,000 images through the finalized model.", inference_figure
    ),
    "generation": FigureKind(
        "Answers of language models",
        "Energy of 1,000 tokens read (prefill) and written (decoding) by the finalized model, each "
        "measured in a window of its own.",
        generation_figure,
    ),
    "operating-point": FigureKind(
        "Operating points",
        "Each point is a fine-tuning at one batch size, arithmetic and power limit. Filled: no "
        "other point beats it in time, energy and {metric}. Down and left is better on the left, "
        "up and left on the right.",
        operating_figure,
    ),
}
