"""What a part has done so far: a file of JSON lines, one per finished test.

A line that a kill tore is passed over, so it costs its test only.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Named = tuple[str, str]
"""The key of a session and one of its tests.

The key stands for the machine, the versions and the options: what was done under another key is not
done.
"""


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Write one line, and wait until it is on the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(line)}")  # the break comes first: the line before may be torn
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True)
class Progress:
    """The lines of a file."""

    collected: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Step -> the key of its last session, and the tests of that session in order."""
    done: Mapping[Named, dict[str, Any]] = field(default_factory=dict)
    """Each finished test's last line."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Step -> why it could not run at all."""

    @property
    def asked_for(self) -> list[Named]:
        """All tests of the last session of every step."""
        return [(key, test) for key, tests in self.collected.values() for test in tests]

    @property
    def left(self) -> list[str]:
        """Tests that the next run has to make up for."""
        return [test for key, test in self.asked_for if (key, test) not in self.done]

    @property
    def failed(self) -> list[str]:
        """Tests of the last sessions that failed, each with its reason."""
        lines = (self.done.get(named, {}) for named in self.asked_for)
        return [f"{one['test']}: {one['why']}" for one in lines if one.get("outcome") == "failed"]


def read(path: Path) -> Progress:
    """Return what the file at `path` has; nothing where there is no file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return Progress()
    collected: dict[str, tuple[str, tuple[str, ...]]] = {}
    done: dict[Named, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for line in map(_parsed, text.splitlines()):
        if "why_left_out" in line:
            left_out[line["step"]] = line["why_left_out"]
        elif "collected" in line:
            collected[line["step"]] = line["key"], tuple(line["collected"])
            left_out.pop(line["step"], None)
        elif "test" in line:
            done[line["key"], line["test"]] = line
    return Progress(collected, done, left_out)


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
