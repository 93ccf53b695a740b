"""Data sets of the small tasks in `support.tasks`, as a run needs them: with weights and a head."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from energybench.config import DataConfig
from energybench.progress import Progress
from energybench.workloads.base import Task
from support.tasks import SIZES


class TaskWeights:
    """Weights that the task itself makes, in no time."""

    path: Path | None = None
    facts: Mapping[str, Any] = {}

    def __init__(self, task: Task) -> None:
        self._task = task
        self.key = f"made by {task.name}"

    def ensure(self, progress: Progress, say: Callable[[str], None]) -> None: ...

    def load(self, device: torch.device, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
        return self._task.model(seed).to(device), {"source": self.key, "head_replaced": False}


class WithWeights:
    """A task with weights and a head."""

    head = ""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.weights = TaskWeights(task)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


@dataclass(frozen=True)
class TaskData:
    """The data set of one task."""

    name: str
    kind: Task
    models: frozenset[str] = frozenset()
    built: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return f"data of {self.kind.name}"

    @property
    def split_sizes(self) -> Mapping[str, int]:
        return {str(split): size for split, size in SIZES.items()}

    def task(self, model: str, weights: str | None, device: torch.device) -> Any:
        return WithWeights(self.kind)

    def prepare(
        self,
        models: Sequence[str],
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> "TaskData":
        return TaskData(self.name, self.kind, frozenset(models))
