"""Standard output and error of a command: closed, full, or of a narrow encoding."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO


@dataclass
class Output:
    """The exit status of the command that is running."""

    status: int = 0


@contextmanager
def standard_output() -> Iterator[Output]:
    """Run a command; a standard output that cannot be written is one line, and status 2.

    A reader that has closed the pipe, for instance `head`, has had enough: status 0. Characters
    that the terminal's encoding lacks are shown escaped.
    """
    output = Output()
    if sys.stderr is None:  # closed: print() would write the errors to standard output
        sys.stderr = _nowhere()
    if sys.stdout is None:
        _say("it is closed; send it to a file, or to /dev/null")
        sys.stdout = _nowhere()
        raise SystemExit(2)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # another object, as in a test
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        try:
            yield output
        finally:
            sys.stdout.flush()  # not at exit: an error there could not be caught
    except BrokenPipeError:
        _drop(sys.stdout)
    except OSError as error:
        if error.filename is not None:  # of another file
            raise
        _say(f"{error.strerror or error}; send it to another file")
        _drop(sys.stdout)
        output.status = 2


def _say(reason: str) -> None:
    with suppress(OSError):
        print(f"energybench: cannot write to standard output: {reason}", file=sys.stderr)
        sys.stderr.flush()


def _drop(stream: TextIO) -> None:
    """Send what the stream still holds to nowhere, so that the interpreter ends in peace."""
    with suppress(OSError, ValueError):  # an object without a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
