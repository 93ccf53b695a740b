"""Options of a run in the shell's commands: `--dataset`, `--device`... as `RunConfig` has them."""

import argparse

from energybench.app.options import build, options_of
from energybench.config import RunConfig

_OF_RUNS = {option.name: option for option in options_of(RunConfig).values()}


def add_run_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the options of these names to a command."""
    for name in names:
        text = _OF_RUNS[name].help.replace("%", "%%")  # argparse formats help texts
        parser.add_argument(f"--{name}", dest=f"run_{name}", metavar="X", help=text)


def run_config(given: argparse.Namespace) -> RunConfig:
    """The configuration that a command's options ask for; raises `UsageError` for a wrong one."""
    texts = {name: getattr(given, f"run_{name}", None) for name in _OF_RUNS}
    return build(
        RunConfig,
        {
            _OF_RUNS[name].path: _OF_RUNS[name].read(text, f"--{name}")
            for name, text in texts.items()
            if text is not None
        },
    )
