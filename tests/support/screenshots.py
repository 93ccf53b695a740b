"""Screenshots of a report at the widths of a desktop and a phone, light and dark.

    python tests/support/screenshots.py page.html -o shots

Needs Chromium and `pip install playwright`. Prints what no reader should meet: a page that scrolls
sideways, small labels, texts of a figure that overlap; the exit status is then 1.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTHS = (1280, 390)
"""Pixels of a desktop's window and of a phone."""
SCHEMES = ("light", "dark")
SMALLEST = 9.0
"""Pixels below which a figure's label cannot be read."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LOOK = """
() => {
  const drawn = element => element.getClientRects().length > 0;
  const figures = [...document.querySelectorAll("svg")].filter(drawn);
  const found = figures.map(svg => {
    const texts = [...svg.querySelectorAll("text")].map(text => {
      const scale = text.getScreenCTM();
      const size = parseFloat(getComputedStyle(text).fontSize) * Math.hypot(scale.a, scale.b);
      return {said: text.textContent.trim(), box: text.getBoundingClientRect(), size};
    }).filter(one => one.said);
    const overlaps = [];
    texts.forEach((one, place) => texts.slice(place + 1).forEach(other => {
      const a = one.box, b = other.box;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 0.35 * Math.min(a.height, b.height))
        overlaps.push([one.said, other.said]);
    }));
    const outer = svg.getBoundingClientRect();
    const cut = texts.filter(({box}) => box.left < outer.left - 1 || box.right > outer.right + 1
      || box.top < outer.top - 1 || box.bottom > outer.bottom + 1).map(one => one.said);
    const name = svg.getAttribute("aria-label").split(".")[0];
    return {name, smallest: Math.min(...texts.map(one => one.size)), overlaps, cut};
  });
  const root = document.scrollingElement;
  return {over: root.scrollWidth - root.clientWidth, height: root.scrollHeight, figures: found};
}
"""


class NoBrowser(Exception):
    """One line that says what is missing."""


@dataclass(frozen=True)
class Seen:
    """What a reader sees of a page at one width."""

    over: float
    """Pixels by which the page is wider than its window."""
    smallest: dict[str, float]
    """Figure -> pixels of its smallest label."""
    overlaps: list[tuple[str, str, str]]
    """(figure, text, text) of labels that lie upon each other."""
    cut: list[tuple[str, str]]
    """(figure, text) of labels that reach out of their figure."""

    @property
    def faults(self) -> list[str]:
        """One line per fault."""
        lines = [f"the page is {self.over:.0f} px too wide"] if self.over > 0 else []
        small = [(name, size) for name, size in self.smallest.items() if size < SMALLEST]
        lines += [f"{name}: a label of {size:.1f} px" for name, size in small]
        lines += [f"{name}: {one!r} lies upon {other!r}" for name, one, other in self.overlaps]
        return lines + [f"{name}: {text!r} is cut off" for name, text in self.cut]


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a headless Chromium; raises `NoBrowser` where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowser("no playwright; pip install playwright") from error
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise NoBrowser(f"no Chromium ({', '.join(BROWSERS)}); install it first")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def opened(program: Any, page: Path, width: int, scheme: str = "light") -> Iterator[Any]:
    """Yield a tab that shows `page` in a window of `width` pixels."""
    context = program.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, device_scale_factor=1
    )
    tab = context.new_page()
    tab.goto(page.resolve().as_uri())
    yield tab
    context.close()


def look(tab: Any) -> Seen:
    """Return what the tab shows."""
    found = tab.evaluate(_LOOK)
    figures = found["figures"]
    return Seen(
        found["over"],
        {one["name"]: one["smallest"] for one in figures},
        [(one["name"], *pair) for one in figures for pair in one["overlaps"]],
        [(one["name"], text) for one in figures for text in one["cut"]],
    )


def shoot(page: Path, folder: Path, piece: int) -> list[str]:
    """Write PNGs of `page` in pieces of at most `piece` pixels height; return the faults."""
    lines = []
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as program:
        for width in WIDTHS:
            for scheme in SCHEMES:
                with opened(program, page, width, scheme) as tab:
                    name = f"{page.stem}-{width}-{scheme}"
                    height = tab.evaluate("document.scrollingElement.scrollHeight")
                    for place, top in enumerate(range(0, height, piece)):
                        clip = {
                            **{"x": 0, "y": top, "width": width},
                            "height": min(piece, height - top),
                        }
                        path = folder / f"{name}-{place:02}.png"
                        tab.screenshot(path=path, clip=clip, full_page=True)
                    if scheme == SCHEMES[0]:
                        lines += [f"{page.name} at {width} px: {one}" for one in look(tab).faults]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the screenshots; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    parser.add_argument("-o", "--output", type=Path, default=Path("screenshots"), metavar="FOLDER")
    parser.add_argument("--piece", type=int, default=2400, metavar="PX", help="height of a PNG")
    options = parser.parse_args(arguments)
    try:
        faults = [
            one for page in options.pages for one in shoot(page, options.output, options.piece)
        ]
    except NoBrowser as error:
        print(f"no screenshots: {error}", file=sys.stderr)
        return 2
    print(f"wrote the screenshots into {options.output}", file=sys.stderr)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
