"""The `energybench` command."""

from energybench.app.cli.main import main

__all__ = ["main"]
