"""The look of all figures: colours, markers, sizes, and SVG that takes the colours of its page."""

import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError
from energybench.files import publish
from energybench.registry import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
"""The colours of M. Okabe and K. Ito, distinct for any kind of colour vision.

Grey replaces black, and yellow is left out: black and yellow would vanish on one of the page's two
backgrounds.
"""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
"""Seven colours and nine markers make 63 distinct pairs."""
_COMPOSED_MARKERS = ("<", ">", "p", "h", "*", "d")
SUFFIXES = (".svg", ".png")
WIDTH = 7.2
"""Inches of a figure in a file of its own."""
PAGE_WIDTH, PHONE_WIDTH = 11.0, 3.7
"""Inches of a figure in the page: as wide as its text, and as a phone; 96 pixels are an inch."""
SMALL = 9
"""Points of the smallest text in a figure."""
_PANEL = 2.4
"""Inches that a panel of a grid needs at least."""
_CHARACTER = 0.075
"""Inches of a character of the usual size, about."""
_LEGEND_LINE = 0.19

_INK, _GRID = "#123457", "#c1c2c3"
"""Placeholders for the page's text and faint lines; no palette has these colours."""
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,  # a name may have a $ in it
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "energybench",  # the same file from the same numbers
}
_TEXT_KEYS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_FONTS = "system-ui, 'DejaVu Sans', Verdana, sans-serif"


def look(ink: str = _INK, grid: str = _GRID) -> Any:
    """Return a context in which figures are drawn in the style of the project."""
    import matplotlib as mpl  # here: takes 0.2 s, and only a figure needs it

    colours = dict.fromkeys(_TEXT_KEYS, ink) | {"grid.color": grid, "legend.labelcolor": ink}
    return mpl.rc_context(_STYLE | colours)


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of the given size, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def panels(
    count: int, width: float = WIDTH, height: float = 2.3, columns: int = 3
) -> "tuple[Figure, list[Axes]]":
    """Return a figure of `count` panels, row by row, each `height` inches.

    `columns` is the largest number of panels side by side; fewer stand so where `width`, in inches,
    has no room.
    """
    columns = max(1, min(columns, int(width / _PANEL), count))
    rows = -(-count // columns)
    figure = new_figure(width, 0.2 + (height + 0.3) * rows)
    figure.set_layout_engine("constrained", h_pad=0.1)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def columns_of(places: "Sequence[Axes]") -> int:
    """Return the number of panels side by side in a figure of `panels`."""
    spec = places[0].get_subplotspec()
    return 1 if spec is None else int(spec.get_gridspec().ncols)


def name_axes(places: "Sequence[Axes]", below: str, beside: str) -> None:
    """Label the x axes of the lowest panels and the y axes of the first of each row."""
    columns = columns_of(places)
    for place, axes in enumerate(places):
        if place % columns == 0:
            axes.set_ylabel(beside)
        if place >= len(places) - columns:
            label_below(axes, below, columns)


def label_below(axes: "Axes", text: str, columns: int = 1) -> None:
    """Write the label of the x axis, in lines that fit below one of `columns` panels."""
    figure = axes.get_figure(root=True)
    width = figure.get_figwidth() if figure is not None else WIDTH
    names = [text.get_text() for text in axes.get_yticklabels()]
    beside = _CHARACTER * max(map(len, names), default=0)
    axes.set_xlabel(wrapped(text, width / columns - 0.3 - beside))


def is_narrow(width: float) -> bool:
    """Return whether a figure of `width` inches has no room for two panels with labels."""
    return width < 2 * _PANEL


def wrapped(text: str, inches: float) -> str:
    """Return `text` in lines that fit into `inches`."""
    return textwrap.fill(text, max(12, int(inches / _CHARACTER)), break_long_words=False)


@cache
def _ranks() -> dict[str, int]:
    return {name: place for place, name in enumerate(METHODS.builtin_names())}


def colour(method: str) -> str:
    """Return the colour of a method in all figures.

    No composition has the colour of `stego` or `prune`.
    """
    if "+" in method:
        return PALETTE[3 + sum(_place(part) for part in method.split("+")) % 4]
    return PALETTE[_place(method) % len(PALETTE)]


def marker(method: str) -> str:
    """Return the marker of a method, the second cue beside its colour."""
    if "+" in method:
        places = [_place(part) for part in method.split("+")]
        return _COMPOSED_MARKERS[(sum(places) + len(places)) % len(_COMPOSED_MARKERS)]
    return MARKERS[_place(method) % len(MARKERS)]


_ORDER = ("stego", "prune", "lowrank", "baseline-bf16", "stego-fp32", "prune-channels", "baseline")
"""Methods that often stand together come first: their colours and markers differ most."""


def _place(method: str) -> int:
    if method in _ORDER:
        return _ORDER.index(method)
    known = _ranks().get(method)
    return sum(map(ord, method)) if known is None else len(_ORDER) + known


def legend_below(figure: "Figure", axes: "Iterable[Axes]", columns: int = 6) -> None:
    """Draw one legend under all panels, each label once, in at most `columns` columns.

    The figure grows by the height of the legend.
    """
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(str(label), handle)
    legend_of(figure, found, columns)


def legend_of(figure: "Figure", found: Mapping[str, Any], columns: int = 6) -> None:
    """Draw a legend of label -> artist, as `legend_below` does."""
    if not found:
        return
    inches = 0.55 + _CHARACTER * max(map(len, found))
    room = max(1, min(columns, len(found), int(figure.get_figwidth() / inches)))
    figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=room)
    lines = -(-len(found) // room)
    figure.set_figheight(figure.get_figheight() + 0.1 + _LEGEND_LINE * lines)


def inline_svg(figure: "Figure", name: str, description: str) -> str:
    """Return `figure` as SVG for a page, with ids that begin with `name` and the page's colours.

    Screen readers speak `description`.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()[out.getvalue().index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace(_INK, "currentColor").replace(_GRID, "var(--faint)")
    svg = re.sub(r"((?:font-family:|px) )'DejaVu Sans'", rf"\1{_FONTS}", svg)
    width = re.search(r'<svg[^>]*? width="([0-9.]+)pt"', svg)
    points = float(width.group(1)) if width else 500.0
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    label = escape(description, quote=True)
    style = f"max-width: {points * 4 / 3:.0f}px"
    return f'{head} role="img" aria-label="{label}" style="{style}">{rest.strip()}'


def check_figure_path(path: Path) -> None:
    """Raise `UsageError` unless a figure can be written to `path`."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} is neither {' nor '.join(SUFFIXES)}; choose one of them")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: its folder does not exist; make it first")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write an SVG or PNG; raises `UsageError` if the file cannot be written."""
    check_figure_path(path)
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else None
    publish(
        path,
        lambda file: figure.savefig(file, dpi=150, metadata=metadata, format=kind),
        "name another file, or free some space there",
    )


def percent_limits(values: Sequence[float], ends: Sequence[float]) -> tuple[float, float]:
    """Return limits of an axis that shows 0, all `values`, and the `ends` of intervals nearby.

    An interval over few seeds can be so wide that everything else would shrink to a point.
    """
    low, high = min([0.0, *values]), max([0.0, *values])
    reach = max(high - low, 30.0)
    least, most = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    air = 0.06 * (most - least) or 1.0
    return least - air, most + air
