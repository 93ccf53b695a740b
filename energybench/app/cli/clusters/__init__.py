"""The commands of clusters: `submit`, `run-block`, `status` and `cancel`."""

import argparse
from typing import Any

from energybench.app.cli.clusters import following, run_block, submit


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the commands of clusters."""
    submit.add_command(commands)
    run_block.add_command(commands)
    following.add_commands(commands)
