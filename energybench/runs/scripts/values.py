"""Numbers that a script logs, and what it says of itself: checked, and as a record has them."""

import json
import math
from collections.abc import Mapping
from typing import Any

from energybench.errors import UsageError, legible
from energybench.records.bounds import MOST, check_magnitudes
from energybench.records.metric import ACCURACY, Metric

_PREFIXES = ("", "test_", "eval_", "val_", "validation_")
"""What may precede the name of the metric where it is logged; the first that is found counts."""


def number_of(name: str, value: Any) -> float:
    """The number in `value`: Python's, NumPy's, or a tensor of one element.

    Numbers beyond `bounds.MOST` become infinite, as a loss that diverged. Raises `UsageError` for
    anything else.
    """
    try:
        found = float(value.item() if hasattr(value, "item") else value)
    except OverflowError:
        found = math.inf if value > 0 else -math.inf
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several elements
        raise UsageError(
            f"log() takes numbers, and {name!r} is {_shown(value)}; log one number"
        ) from None
    return math.copysign(math.inf, found) if abs(found) > MOST else found


def numbers_of(values: Mapping[str, Any]) -> dict[str, float]:
    """Each of `values` as `number_of` has it."""
    return {legible(str(name)): number_of(name, value) for name, value in values.items()}


def epoch_of(value: Any) -> int:
    """The number of an epoch; raises `UsageError` unless it is whole and at least 0."""
    found = number_of("epoch", value)
    if isinstance(value, bool) or not math.isfinite(found) or found != int(found) or found < 0:
        raise UsageError(f"epoch is {_shown(value)}; log a whole number, 0 or more")
    return int(found)


def settings_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` as they come back from a file; raises `UsageError` where JSON has no place."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"settings cannot be saved ({error}); give texts, numbers, booleans and lists of these"
        ) from None
    check_magnitudes(found, "setting")
    return found


def judged(metric: Metric, logged: Mapping[str, float]) -> tuple[float | None, str | None]:
    """The value of `metric` among the `logged` numbers, and why there is none in one line.

    The line is None where nothing of that name was logged.
    """
    names = (f"{prefix}{metric.name}" for prefix in _PREFIXES)
    name = next((one for one in names if one in logged), None)
    if name is None:
        return None, None
    value = logged[name]
    if metric == ACCURACY and not (math.isnan(value) or 0 <= value <= 1):
        return None, (
            f"{name} is {value:g}, and an accuracy is a share, 0 to 1; it does not count as the "
            "metric. Log a share, or give another metric"
        )
    return value, None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} {text[:30]}…"
