"""What a script says of itself, in the record of a run of `energybench.measure`."""

from dataclasses import dataclass, field
from typing import Any

from energybench.records.epoch import ScriptEpoch
from energybench.records.metric import Metric

METHOD = "script"
"""The method of a run that names none."""
WHOLE = "run"
"""The phase that is the whole run of a script; its other phases lie within it."""


@dataclass(frozen=True)
class Script:
    """A script's own facts; nothing of this was checked."""

    settings: dict[str, Any] = field(default_factory=dict)
    """What the script says of its data and training: `{"learning_rate": 0.1, "data": "cifar10"}`.
    Runs with other settings are not compared."""
    logged: dict[str, float] = field(default_factory=dict)
    """The last number that was logged under each name."""
    metric: Metric | None = None
    """What judges the script; None where it logged no value of that."""
    value: float | None = None
    """The last value of `metric` that was logged, on items that the script chose."""
    epochs: list[ScriptEpoch] = field(default_factory=list)
