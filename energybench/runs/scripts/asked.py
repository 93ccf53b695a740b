"""What a call of `energybench.measure` asks for, checked before anything is measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from energybench.config import MeasureConfig
from energybench.errors import UsageError, legible
from energybench.records.metric import ACCURACY, Metric
from energybench.records.script import METHOD
from energybench.runs.scripts.saving import check_name
from energybench.runs.scripts.values import settings_of

_MOST_SEEDS = 2**63


@dataclass(frozen=True)
class Asked:
    """The arguments of `measure`, under the same names; raises `UsageError` for impossible ones."""

    name: str | None = None
    meters: str | Sequence[str] = ("auto",)
    pue: float = 1.58
    synchronize: Callable[[], None] | None = None
    gpu_uuids: Sequence[str] | None = None
    exclusive: bool = True
    wait: bool = True
    replay: str | None = None
    wall_meter: str | None = None
    save: Path | None = None
    method: str = METHOD
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    metric: Metric = ACCURACY

    def __post_init__(self) -> None:
        MeasureConfig(pue=self.pue)  # refuses a wrong one
        for what, text in (("name", self.name), ("method", self.method)):
            if text is not None and (not isinstance(text, str) or not text.strip()):
                raise UsageError(f"the {what} of a run is a text that is not empty, not {text!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise UsageError(f"seed is {self.seed!r}; give a whole number")
        if not 0 <= self.seed < _MOST_SEEDS:
            raise UsageError(f"seed is {self.seed}; give a number from 0 to 2**63 - 1")
        if not isinstance(self.metric, Metric):
            raise UsageError(f"metric is {self.metric!r}; give an energybench.Metric")
        if self.save is not None:
            check_name(self.save)
        object.__setattr__(self, "settings", settings_of(self.settings))
        if self.name is not None:
            object.__setattr__(self, "name", legible(self.name))
        object.__setattr__(self, "method", legible(self.method))
