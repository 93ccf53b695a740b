"""Options of a session in the shell's commands: `--dataset`, `--device`, `--seeds`."""

import argparse
import shutil
import sys
from typing import Any

from energybench.app.declared import build, options_of
from energybench.app.paths import check_path
from energybench.app.session_options import Options
from energybench.config import RunConfig
from energybench.errors import UsageError

_BY_NAME = {option.name: option for option in options_of(Options).values()}


def add_options(parser: argparse.ArgumentParser, *names: str, default: str | None = None) -> None:
    """Add the options called `names` to a command; `default` replaces the default in their help."""
    for name in names:
        option = _BY_NAME[name]
        text = option.help if default is None else f"{option.text} (default: {default})"
        escaped = text.replace("%", "%%")  # argparse formats help texts
        parser.add_argument(f"--{name}", dest=f"option_{name}", metavar="X", help=escaped)


def given_value(given: argparse.Namespace, name: str) -> Any:
    """Return the value of one option, or None; raises `UsageError` for a wrong value."""
    text = getattr(given, f"option_{name}", None)
    return None if text is None else _BY_NAME[name].read(text, f"--{name}")


def run_config(given: argparse.Namespace) -> RunConfig:
    """Return the configuration from a command's options.

    Raises `UsageError` for a wrong value, and for a path at which there is nothing.
    """
    values = {option.path: given_value(given, name) for name, option in _BY_NAME.items()}
    set_ones = {path: value for path, value in values.items() if value is not None}
    for name, option in _BY_NAME.items():
        check_path(name, set_ones.get(option.path), f"--{name}")
    return build(Options, set_ones).run


def parts_of_the_protocol(text: str) -> frozenset[str]:
    """Return the names that `--across` gives; raises `UsageError` for one that must not differ."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if "pue" in names:
        raise UsageError("--across=pue: energies under different PUE are not comparable")
    return names


def terminal_width() -> int | None:
    """Return the width of the terminal that is the standard output; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
