"""Numbers in the JSON of a device that is not ours: each is checked before it is believed."""

from typing import TypeGuard

MOST_WATTS = 100_000.0
"""More than any machine draws; a greater number is nonsense."""
MOST = 1e15


class NotAnAnswer(ValueError):
    """An answer that has no power in it; the message is what is wrong with it."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether `value` can be a reading: a finite number, and no text or truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST


def watts_of(value: object) -> float:
    """Return `value` as watts; raises `NotAnAnswer` if it cannot be a power."""
    if not is_number(value) or not 0.0 <= value <= MOST_WATTS:
        raise NotAnAnswer(f"its power is {repr(value)[:40]}, not watts from 0")
    return value


def count_of(value: object, joules: float) -> float | None:
    """Return a count of energy in joules, of which one unit has `joules`; None if it is none."""
    return value * joules if is_number(value) and value >= 0.0 else None
