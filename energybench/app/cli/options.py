"""Options of a session in the shell's commands: `--dataset`, `--device`, `--seeds`."""

import argparse
from typing import Any

from energybench.app.options import build, options_of
from energybench.config import Options, RunConfig

_BY_NAME = {option.name: option for option in options_of(Options).values()}


def add_options(parser: argparse.ArgumentParser, *names: str, default: str | None = None) -> None:
    """Add the options of these names to a command; `default` replaces the default in their help."""
    for name in names:
        option = _BY_NAME[name]
        text = option.help if default is None else f"{option.text} (default: {default})"
        escaped = text.replace("%", "%%")  # argparse formats help texts
        parser.add_argument(f"--{name}", dest=f"option_{name}", metavar="X", help=escaped)


def given_value(given: argparse.Namespace, name: str) -> Any:
    """The value of one option, None if it was not given; raises `UsageError` for a wrong one."""
    text = getattr(given, f"option_{name}", None)
    return None if text is None else _BY_NAME[name].read(text, f"--{name}")


def run_config(given: argparse.Namespace) -> RunConfig:
    """The configuration that a command's options ask for; raises `UsageError` for a wrong one."""
    values = {option.path: given_value(given, name) for name, option in _BY_NAME.items()}
    set_ones = {path: value for path, value in values.items() if value is not None}
    return build(Options, set_ones).run
