"""Results of the studies of hardware: into a benchmark's `extra_info`, and back out of it.

Durations are seconds, energies joules of the machine (IT energy); "not available" is None.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from energybench.errors import UsageError
from energybench.records.bounds import check_study
from energybench.records.schema import read_versioned
from energybench.records.studies.answers import (
    Generation,
    GenerationPoint,
    Inference,
    InferencePoint,
)
from energybench.records.studies.checks import Check
from energybench.records.studies.points import OperatingPoint
from energybench.records.studies.steps import Intensity, Throughput
from energybench.records.studies.version import SCHEMA_VERSION

__all__ = [
    "KEY",
    "SCHEMA_VERSION",
    "Answered",
    "Check",
    "Generation",
    "GenerationPoint",
    "Inference",
    "InferencePoint",
    "Intensity",
    "OperatingPoint",
    "Study",
    "Throughput",
    "read_studies",
    "to_extra_info",
]

KEY = "energybench_study"

Answered = Inference | Generation
"""Studies of what an answer takes."""
Study = Intensity | Answered | Throughput | OperatingPoint | Check

_KINDS: dict[str, type[Study]] = {
    "intensity": Intensity,
    "inference": Inference,
    "generation": Generation,
    "throughput": Throughput,
    "operating point": OperatingPoint,
    "check": Check,
}


def to_extra_info(found: Study) -> dict[str, Any]:
    """`found` as an entry of a benchmark's `extra_info`."""
    return {KEY: asdict(found)}


def read_studies(extras: Iterable[dict[str, Any]]) -> list[Study]:
    """The studies in the `extra_info` of benchmarks; benchmarks without one are passed over.

    Raises `UsageError` for a study of a newer energybench, or of another shape.
    """
    found: list[Study] = []
    for extra in extras:
        if KEY not in extra:
            continue
        data = extra[KEY]
        name = data.get("kind") if isinstance(data, dict) else None
        if name not in _KINDS:
            raise UsageError(f"no study of the kind {name!r}; upgrade energybench to read it")
        study = read_versioned(data, _KINDS[name], "study", SCHEMA_VERSION)
        check_study(study)
        found.append(study)
    return found
