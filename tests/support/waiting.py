"""Waiting for another process or thread, never for ever."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], limit_s: float = 60.0, pause_s: float = 0.005
) -> None:
    """Return once `condition()` is true; fail the test after `limit_s` seconds."""
    limit = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < limit, f"it did not happen within {limit_s:g} s"
        time.sleep(pause_s)
