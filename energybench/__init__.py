"""Measure what compressing a pretrained network does to the energy of fine-tuning it.

The names in `__all__` are the public interface. Each is imported when it is first used (PEP 562):
`import energybench` alone loads neither torch nor pytest.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energybench.compression.base import Compression, Score
    from energybench.compression.compose import compress
    from energybench.energy.meters.base import Meter, MeterContext, MeterUnavailable
    from energybench.energy.source import Source
    from energybench.errors import CellError, EnergybenchError, UsageError
    from energybench.records.metric import Metric
    from energybench.records.record import CompressionReport, RunRecord
    from energybench.records.saved import read_runs
    from energybench.registry import METHODS, MODELS
    from energybench.runs.executors.base import Executor, Facts, Job, Outcome, Prepared, Setup
    from energybench.runs.scripts.measure import current_run, measure
    from energybench.workloads.base import Scores, Task
    from energybench.workloads.images.networks import ModelSpec

__version__ = "0.1.0"

_PLACES = {
    "CellError": "energybench.errors",
    "Compression": "energybench.compression.base",
    "CompressionReport": "energybench.records.record",
    "EnergybenchError": "energybench.errors",
    "Executor": "energybench.runs.executors.base",
    "Facts": "energybench.runs.executors.base",
    "Job": "energybench.runs.executors.base",
    "METHODS": "energybench.registry",
    "MODELS": "energybench.registry",
    "Meter": "energybench.energy.meters.base",
    "MeterContext": "energybench.energy.meters.base",
    "MeterUnavailable": "energybench.energy.meters.base",
    "Metric": "energybench.records.metric",
    "ModelSpec": "energybench.workloads.images.networks",
    "Outcome": "energybench.runs.executors.base",
    "Prepared": "energybench.runs.executors.base",
    "RunRecord": "energybench.records.record",
    "Score": "energybench.compression.base",
    "Scores": "energybench.workloads.base",
    "Setup": "energybench.runs.executors.base",
    "Source": "energybench.energy.source",
    "Task": "energybench.workloads.base",
    "UsageError": "energybench.errors",
    "compress": "energybench.compression.compose",
    "current_run": "energybench.runs.scripts.measure",
    "measure": "energybench.runs.scripts.measure",
    "read_runs": "energybench.records.saved",
}
"""Public name -> the module that defines it."""

__all__ = [
    "METHODS",
    "MODELS",
    "CellError",
    "Compression",
    "CompressionReport",
    "EnergybenchError",
    "Executor",
    "Facts",
    "Job",
    "Meter",
    "MeterContext",
    "MeterUnavailable",
    "Metric",
    "ModelSpec",
    "Outcome",
    "Prepared",
    "RunRecord",
    "Score",
    "Scores",
    "Setup",
    "Source",
    "Task",
    "UsageError",
    "__version__",
    "compress",
    "current_run",
    "measure",
    "read_runs",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
