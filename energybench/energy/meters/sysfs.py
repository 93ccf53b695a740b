"""Counters in small files of Linux' sysfs: reading them, and not missing their wrap-around."""

import errno
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from energybench.energy.meters.base import MeterUnavailable


class Counter(Protocol):
    """Joules of one counter since it was made."""

    def joules(self) -> float:
        """Joules until now; raises `MeterUnavailable`."""
        ...


class RegularReads:
    """A thread that reads counters every `period_s`, so that none wraps around twice unseen."""

    def __init__(self, counters: Mapping[str, Counter], period_s: float, name: str) -> None:
        self.cpu_s = 0.0
        """CPU seconds that the thread has used."""
        self._counters = counters
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(min(period_s, threading.TIMEOUT_MAX),),
            name=name,
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self, period_s: float) -> None:
        while not self._closed.wait(period_s):
            read_all(self._counters)  # a failure shows again at the next read
            self.cpu_s = time.thread_time()


def read_all(counters: Mapping[str, Counter]) -> dict[str, float | MeterUnavailable]:
    """Domain -> joules, or why they cannot be read."""
    return {domain: _joules(counter) for domain, counter in counters.items()}


def _joules(counter: Counter) -> float | MeterUnavailable:
    try:
        return counter.joules()
    except MeterUnavailable as error:
        return error


def _read(path: Path) -> bytes:
    """The content of a small file; five times as fast as `read_text`, as windows need it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 256)
    finally:
        os.close(descriptor)


def text_of(path: Path) -> str:
    """The text of a small file, without blanks around it; "" if there is none."""
    try:
        return _read(path).decode(errors="replace").strip()
    except OSError:
        return ""


def number_or_none(path: Path) -> int | None:
    """The whole number in a small file; None if it states none."""
    try:
        return int(_read(path))
    except (OSError, ValueError):
        return None


def read_number(path: Path, allow: str | None = None) -> int:
    """The whole number in a small file.

    Raises `MeterUnavailable`; `allow` is the command that permits reading, by default for `path`.
    """
    try:
        return int(_read(path))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            command = allow or f"sudo chmod a+r {path}"
            raise MeterUnavailable(
                f"not permitted to read {path}; allow it with: {command}"
            ) from error
        raise MeterUnavailable(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise MeterUnavailable(f"{path} holds no number") from error
