"""Names beside points, placed so that none lies upon another name or a point."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from energybench.report.style import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINT = 6.0
"""Half the side of a marker with its edge, in points of 1/72 inch."""
_REACHES = (8.0, 18.0, 28.0, 40.0)
"""Distances of a name from its point, in points, nearest first."""
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))

Place = tuple[float, float]
Line = tuple[Place, Place]
"""The two ends of a straight line."""


class _Box(NamedTuple):
    left: float
    low: float
    right: float
    high: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.low < other.high
            and other.low < self.high
        )

    def distance(self, place: "Place") -> float:
        """Return how far a place is from the box."""
        across = max(self.left - place[0], 0.0, place[0] - self.right)
        return math.hypot(across, max(self.low - place[1], 0.0, place[1] - self.high))

    def crossed(self, line: "Line") -> bool:
        """Return whether a straight line touches the box."""
        steps = 24
        return any(
            self.left < line[0][0] + (line[1][0] - line[0][0]) * step / steps < self.right
            and self.low < line[0][1] + (line[1][1] - line[0][1]) * step / steps < self.high
            for step in range(steps + 1)
        )

    def within(self, other: "_Box") -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.low >= other.low
            and self.high <= other.high
        )


def name_points(
    axes: "Axes", points: Sequence[tuple[float, float, str]], lines: Sequence[Line] = ()
) -> list[str]:
    """Write each (x, y, name) beside its point; return the names that found no room.

    A name lies upon one of the `lines`, given in the data's units, only where all else is taken.
    The limits of `axes` and the layout of its figure must be final. A name that stands apart from
    its point has a thin line to it.
    """
    figure = axes.get_figure(root=True)
    if figure is None or not points:
        return []
    scale = 72.0 / figure.dpi
    corner, opposite = axes.get_window_extent().get_points() * scale
    frame = _Box(*corner, *opposite)

    def place(x: float, y: float) -> Place:
        across, up = axes.transData.transform((x, y)) * scale
        return float(across), float(up)

    places = [place(x, y) for x, y, _ in points]
    drawn = [(place(*one), place(*other)) for one, other in lines]
    taken = [_Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in places]
    sizes = [_size(axes, name) for _, _, name in points]
    homeless = []
    longest_first = sorted(range(len(points)), key=lambda number: -sizes[number][0])
    for number in longest_first:
        (x, y, name), own = points[number], places[number]
        free = [
            (reach, box)
            for reach, box in _candidates(own, *sizes[number])
            if box.within(frame) and not any(box.meets(other) for other in taken)
        ]
        if not free:
            homeless.append(name)
            continue
        others = [place for place in places if place != own]
        reach, box = min(free, key=lambda one: _doubts(one[1], own, others, drawn))
        taken.append(box)
        _write(axes, (x, y), name, (box.left - own[0], box.low - own[1]), reach)
    return homeless


def _size(axes: "Axes", name: str) -> tuple[float, float]:
    """Return the width and height of a name, in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=axes.xaxis.label.get_fontfamily(), size=SMALL)
    width, height, descent = text_to_path.get_text_width_height_descent(name, font, ismath=False)
    return 1.1 * width + 2.0, max(height + descent, SMALL) + 2.0


def _doubts(
    box: _Box, own: Place, others: Sequence[Place], lines: Sequence[Line]
) -> tuple[bool, bool]:
    """Return whether a name in `box` would seem another point's, and whether a line crosses it."""
    stranger = any(box.distance(other) < box.distance(own) for other in others)
    return stranger, any(box.crossed(line) for line in lines)


def _candidates(place: Place, width: float, height: float) -> Iterator[tuple[float, _Box]]:
    for reach in _REACHES:
        for across, up in _SIDES:
            middle = place[0] + across * (reach + width / 2), place[1] + up * (reach + height / 2)
            left, low = middle[0] - width / 2, middle[1] - height / 2
            yield reach, _Box(left, low, left + width, low + height)


def _write(
    axes: "Axes",
    point: tuple[float, float],
    name: str,
    offset: tuple[float, float],
    reach: float,
) -> None:
    line = {"arrowstyle": "-", "linewidth": 0.6, "color": axes.xaxis.label.get_color()}
    axes.annotate(
        name,
        point,
        xytext=(offset[0] + 1.0, offset[1] + 2.0),
        textcoords="offset points",
        fontsize=SMALL,
        arrowprops=line if reach > _REACHES[0] else None,
    )
