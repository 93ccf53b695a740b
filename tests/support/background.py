"""Sessions in the background, to be interrupted."""

import signal
import subprocess
import sys
from pathlib import Path


def in_background(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Python in `folder`, its output piped; it feels Ctrl-C, whatever this process does."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # of background jobs it is ignored
    try:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
