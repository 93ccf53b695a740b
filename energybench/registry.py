"""Name -> "module:attribute", imported only when asked for.

Adding a model, a method, a meter or a data set is one line in a table below, or an entry point
of another package in the group `energybench.models` (`.methods`, `.meters`, `.datasets`).
"""

import difflib
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from energybench.errors import UsageError


class Registry:
    """One kind of thing by name.

    Nothing is imported until `get`; two targets for one name raise `UsageError`.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self._builtin = dict(builtin)

    @cached_property
    def _targets(self) -> dict[str, EntryPoint]:
        """Built-in targets and those of other packages; finding the latter takes some 20 ms."""
        group = f"energybench.{self.kind.replace(' ', '')}s"
        targets = {name: EntryPoint(name, value, group) for name, value in self._builtin.items()}
        for point in entry_points(group=group):
            known = targets.setdefault(point.name, point)
            if known.value != point.value:
                raise UsageError(
                    f"{self.kind} {point.name!r} is registered twice: {known.value} and "
                    f"{point.value}; rename one of them or uninstall its package"
                )
        return targets

    def builtin_names(self) -> list[str]:
        """Names in the tables below."""
        return list(self._builtin)

    def names(self) -> list[str]:
        """Every registered name, built-in ones first."""
        return list(self._targets)

    def check(self, name: str) -> str:
        """`name` itself; raises `UsageError` with the nearest names if it is unknown."""
        if name not in self._builtin and name not in self._targets:
            near = difflib.get_close_matches(name, self._targets, n=3, cutoff=0.5)
            known = ", ".join(self._targets)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {known}"
            raise UsageError(f"unknown {self.kind} {name!r}; {hint}")
        return name

    def get(self, name: str) -> Any:
        """Import and return what `name` stands for."""
        target = self._targets[self.check(name)]
        try:
            return target.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"{self.kind} {name!r} cannot be imported from {target.value}: {error}"
            ) from error


MODELS = Registry(
    "model",
    {
        name: f"energybench.workloads.images.networks:{name}"
        for name in (
            "alexnet",
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "inception_v3",
            "densenet121",
            "vgg16",
            "convnext_base",
        )
    },
)

METHODS = Registry(
    "method",
    {
        "baseline": "energybench.compression.base:Baseline",
        "baseline-tf32": "energybench.compression.controls:BaselineTf32",
        "baseline-bf16": "energybench.compression.controls:BaselineBf16",
        "stego": "energybench.compression.stego:Stego",
        "stego-fp32": "energybench.compression.stego:StegoFp32",
        "prune": "energybench.compression.prune:Prune",
        "prune-layerwise": "energybench.compression.prune:PruneLayerwise",
        "prune-2to4": "energybench.compression.sparse:TwoOfFour",
        "prune-channels": "energybench.compression.channels:PruneChannels",
        "lowrank": "energybench.compression.lowrank:LowRank",
    },
)

DATASETS = Registry(
    "data set",
    {
        "handwriting": "energybench.workloads.images.data.handwriting:open_handwriting",
        "digits": "energybench.workloads.images.data.digits:open_digits",
        "folder": "energybench.workloads.images.data.folders:open_folder",
        "imagenet": "energybench.workloads.images.data.folders:open_imagenet",
    },
)

EXECUTORS = Registry(
    "executor",
    {
        "in-process": "energybench.runs.executors.in_process:open_in_process",
        "ranks": "energybench.runs.executors.local_ranks:open_local_ranks",
        "launched": "energybench.runs.executors.in_process:open_launched",
    },
)

METERS = Registry(
    "meter",
    {
        "nvml": "energybench.energy.meters.nvml.meter:NvmlMeter",
        "rapl": "energybench.energy.meters.rapl:RaplMeter",
        "zeus": "energybench.energy.meters.zeus:ZeusMeter",
        "codecarbon": "energybench.energy.meters.codecarbon:CodeCarbonMeter",
        "replay": "energybench.energy.meters.replay:ReplayMeter",
    },
)


def method_parts(method: str) -> tuple[str, ...]:
    """The registered methods that `method` names: "lowrank+stego" -> ("lowrank", "stego").

    Raises `UsageError` for an unknown part, a part named twice, or `baseline` in a composition.
    """
    parts = tuple(METHODS.check(part.strip()) for part in method.split("+"))
    if len(set(parts)) < len(parts):
        raise UsageError(f"method {method!r} names a part twice; name each once")
    if len(parts) > 1 and "baseline" in parts:
        raise UsageError(f"method {method!r} composes with baseline, which does nothing; drop it")
    return parts
