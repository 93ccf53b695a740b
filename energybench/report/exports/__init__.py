"""Saved runs in the formats that others ask for."""

from collections.abc import Callable, Mapping, Sequence

from energybench.records.saved import Run
from energybench.report.exports import boamps, huggingface, spdx

WRITERS: Mapping[str, Callable[[Sequence[Run]], str]] = {
    "boamps": boamps.write,
    "huggingface": huggingface.write,
    "spdx": spdx.write,
}
"""Name of a format -> the text of runs in it; raises `UsageError` for runs that it cannot tell."""
