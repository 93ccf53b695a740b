"""Runs in the formats of others; a format is a module here with `write(runs) -> str`."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from energybench.records.saved import Run

FORMATS = {
    "action-benchmark": "action_benchmark",
    "boamps": "boamps",
    "huggingface": "huggingface",
    "spdx": "spdx",
}
"""Name of a format for the user -> its module."""


def write(name: str, runs: "Sequence[Run]") -> str:
    """Return `runs` as the text of a file in the format `name`.

    Raises `UsageError` where the runs have nothing that the format can hold.
    """
    text: str = import_module(f"{__name__}.{FORMATS[name]}").write(runs)
    return text
