"""Interruptions that lose nothing: Ctrl-C and other signals that end a session.

Python raises an interruption at whatever line it finds. Within a finalizer it only prints it, and
goes on. Within the reading of a meter the reading would be lost. So an interruption is remembered:
`postponed` holds it back until a block has ended, and `check` raises it again where nothing is
lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


class _State:
    reason: str | None = None
    """Why the session is to end; None before any interruption."""
    blocks = 0
    """Depth of `postponed` blocks that the main thread is in."""
    held_back = False
    """Whether the interruption is still to be raised, at the end of the outermost block."""


_state = _State()


def interrupt(reason: str) -> None:
    """Raise `KeyboardInterrupt(reason)`, or hold it back within a `postponed` block.

    For signal handlers, which Python calls in the main thread. A second interruption is not held
    back: whoever asks twice does not want to wait.
    """
    again, _state.reason = _state.reason is not None, reason
    _state.held_back = _state.blocks > 0 and not again
    if not _state.held_back:
        raise KeyboardInterrupt(reason)


@contextmanager
def postponed() -> Iterator[None]:
    """Hold an interruption back until the block has ended; threads other than the main are free."""
    if current_thread() is not main_thread():
        yield
        return
    _state.blocks += 1
    try:
        yield
    finally:
        _state.blocks -= 1
        if _state.held_back and not _state.blocks:
            _state.held_back = False
            check()


def asked() -> KeyboardInterrupt | None:
    """Return the interruption that came in, raised or not; None if there was none."""
    return None if _state.reason is None else KeyboardInterrupt(_state.reason)


def check() -> None:
    """Raise the interruption that came in, if any: Python may have swallowed it."""
    interruption = asked()
    if interruption is not None:
        raise interruption


@contextmanager
def remembered() -> Iterator[None]:
    """Remember interruptions during the block, and forget them after it."""
    before, _state.reason = _state.reason, None
    try:
        yield
    finally:
        _state.reason, _state.held_back = before, False
