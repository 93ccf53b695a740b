"""What a running block does now, in a small file that its watchers read."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from energybench.errors import printable
from energybench.progress import Pace, Progress, Step


class LiveProgress(Progress):
    """Draws bars as `Progress` does, and writes each step into a file: once per epoch.

    The file is a courtesy: where it cannot be written, nothing else changes.
    """

    def __init__(
        self, terminal: TextIO | None, before: Callable[[], None], file: Path, node: str
    ) -> None:
        """`node` stands in the file beside each step."""
        super().__init__(terminal, before)
        self._file, self._node = file, node

    @contextmanager
    def bar(
        self, title: str, total: int, likely: float | None = None, at_most: bool = False
    ) -> Iterator[Step]:
        """See `Progress.bar`."""
        done, pace = 0, Pace(total, likely, at_most)
        self._write(title=title, done=done, total=total, text="")
        with super().bar(title, total, likely, at_most) as drawn:

            def step(text: str) -> None:
                nonlocal done
                done += 1
                pace.step()
                whole = ", ".join(filter(None, (text, pace.left())))
                self._write(title=title, done=done, total=total, text=whole)
                drawn(text)

            yield step

    def _write(self, **now: object) -> None:
        new = self._file.with_suffix(".new")
        with suppress(OSError):
            new.write_text(json.dumps({"node": self._node, **now}))
            new.replace(self._file)


def live_line(file: Path) -> str | None:
    """One line of a live file: "node7: resnet18 stego 3/50, loss 0.210, 0:01:05 to go"; or None."""
    try:
        data: Any = json.loads(file.read_text())
        done = f"{data['node']}: {data['title']} {data['done']}/{data['total']}"
        return printable(f"{done}, {data['text']}" if data["text"] else done)
    except (OSError, ValueError, TypeError, KeyError):
        return None
