"""Files and folders that options name, looked for before anything heavy is imported."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from energybench.errors import UsageError


def check_path(name: str, value: object, spelt: str) -> None:
    """Raise `UsageError` where the path that option `name` gives as `value` cannot be used.

    The error calls the option `spelt`. Options without a path pass.
    """
    check = _CHECKS.get(name)
    if check is None or not isinstance(value, str):
        return
    try:
        check(value)
    except UsageError as error:
        raise UsageError(f"{spelt}: {error}") from error


def _dataset(text: str) -> None:
    kind, _, location = text.partition(":")
    if kind in ("folder", "imagenet"):
        if not location:
            raise UsageError(f"the data set {kind} needs a path: {kind}:PATH")
        if not Path(os.path.expanduser(location)).is_dir():
            raise UsageError(f"{location} is not a folder; name one with train/ and val/ in it")
    elif kind in ("handwriting", "digits") and location:
        raise UsageError(f"{kind} is installed with energybench and takes no path: `{kind}` alone")


def _weights(text: str) -> None:
    if not Path(os.path.expanduser(text)).exists():
        raise UsageError(f"no weights at {text}; give a file, or a folder of <model>.safetensors")


def _replay(text: str) -> None:
    from energybench.energy.meters.replay import ReplayMeter  # here: few sessions play a trace

    ReplayMeter.from_file(text)


def _file(text: str) -> None:
    if not Path(os.path.expanduser(text)).is_file():
        raise UsageError(f"no file {text}; name a CSV file")


_CHECKS: Mapping[str, Callable[[str], None]] = {
    "dataset": _dataset,
    "weights": _weights,
    "replay": _replay,
    "intensity-file": _file,
    "intensity-factors": _file,
}
"""Option -> check of the path in its value."""
