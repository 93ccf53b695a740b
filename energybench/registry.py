"""Name -> "module:attribute", imported only when asked for.

Adding a model, a method, a meter or a data set is one line in a table below, or an entry point
of another package in the group `energybench.models` (`.methods`, `.meters`, `.datasets`).
"""

import difflib
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from energybench.errors import UsageError


class Registry:
    """One kind of thing by name.

    Nothing is imported until `get`; two targets for one name raise `UsageError`. Names in `located`
    stand before a place: "hf:PATH" is what the target of "hf" makes of "PATH".
    """

    def __init__(
        self, kind: str, builtin: Mapping[str, str], located: Collection[str] = ()
    ) -> None:
        self.kind = kind
        self._builtin = dict(builtin)
        self._located = frozenset(located)

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
        base, _, place = name.partition(":")
        if base in self._located:
            if not place.strip():
                raise UsageError(f"{self.kind} {base} needs a place; write {base}:PATH")
            return name
        if name not in self._builtin and name not in self._targets:
            near = difflib.get_close_matches(name, self._targets, n=3, cutoff=0.5)
            known = ", ".join(self._targets)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {known}"
            raise UsageError(f"unknown {self.kind} {name!r}; {hint}")
        return name

    def get(self, name: str) -> Any:
        """Import and return what `name` stands for."""
        base, _, place = self.check(name).partition(":")
        target = self._targets[base if base in self._located else name]
        try:
            found = target.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"{self.kind} {name!r} cannot be imported from {target.value}: {error}"
            ) from error
        return found(place) if base in self._located else found


LANGUAGE_MODELS = {
    "gpt2-tiny": "energybench.workloads.language.gpt2_tiny:gpt2_tiny",
    "smollm2-135m": "energybench.workloads.language.smollm2:smollm2_135m",
    "hf": "energybench.workloads.language.folder:open_model",
}
"""Names of causal language models; the other models classify images."""

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
    }
    | LANGUAGE_MODELS,
    located=("hf",),
)

METHODS = Registry(
    "method",
    {
        "baseline": "energybench.compression.base:Baseline",
        "baseline-again": "energybench.compression.controls:BaselineAgain",
        "baseline-tf32": "energybench.compression.controls:BaselineTf32",
        "baseline-bf16": "energybench.compression.controls:BaselineBf16",
        "baseline-default": "energybench.compression.controls:BaselineDefault",
        "stego": "energybench.compression.stego:Stego",
        "stego-fp32": "energybench.compression.stego:StegoFp32",
        "stego-once": "energybench.compression.once:StegoOnce",
        "stego-once-random": "energybench.compression.once:StegoOnceRandom",
        "prune": "energybench.compression.prune:Prune",
        "prune-once": "energybench.compression.once:PruneOnce",
        "prune-layerwise": "energybench.compression.prune:PruneLayerwise",
        "prune-2to4": "energybench.compression.sparse:TwoOfFour",
        "prune-channels": "energybench.compression.channels:PruneChannels",
        "lowrank": "energybench.compression.lowrank:LowRank",
        "lora": "energybench.compression.lora:Lora",
        "qlora": "energybench.compression.qlora:QLora",
        "freeze": "energybench.compression.freeze:Freeze",
        "freeze-bn": "energybench.compression.freeze:FreezeBatchNorm",
    },
)

DATASETS = Registry(
    "data set",
    {
        "handwriting": "energybench.workloads.images.data.handwriting:open_handwriting",
        "digits": "energybench.workloads.images.data.digits:open_digits",
        "folder": "energybench.workloads.images.data.folders:open_folder",
        "imagenet": "energybench.workloads.images.data.folders:open_imagenet",
        "text": "energybench.workloads.language.texts:open_text",
    },
)


def image_models() -> list[str]:
    """Names of the models that classify images."""
    return [name for name in MODELS.names() if name not in LANGUAGE_MODELS]


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
        "amdsmi": "energybench.energy.meters.amdsmi:AmdSmiMeter",
        "intel-gpu": "energybench.energy.meters.hwmon.intel_gpu:IntelGpuMeter",
        "rapl": "energybench.energy.meters.rapl:RaplMeter",
        "perf": "energybench.energy.meters.perf:PerfMeter",
        "hwmon": "energybench.energy.meters.hwmon.meter:HwmonMeter",
        "zeus": "energybench.energy.meters.zeus:ZeusMeter",
        "codecarbon": "energybench.energy.meters.codecarbon:CodeCarbonMeter",
        "wall": "energybench.energy.meters.wall.meter:WallMeter",
        "ipmi": "energybench.energy.meters.ipmi:IpmiMeter",
        "replay": "energybench.energy.meters.replay:ReplayMeter",
    },
)


BASELINE = "baseline"
"""The method that leaves the model as it is: the reference of every comparison."""
REPEAT = "baseline-again"
"""The method that measures the baseline once more; a second one is `baseline-again-2`."""


def repeats(count: int) -> tuple[str, ...]:
    """`count` names of repeated baselines: ("baseline-again", "baseline-again-2")."""
    return tuple(REPEAT if number == 1 else f"{REPEAT}-{number}" for number in range(1, count + 1))


def is_repeat(method: str) -> bool:
    """Whether `method` is the baseline once more: neither a compression nor another arithmetic."""
    return base_name(method) == REPEAT


@dataclass(frozen=True)
class Setting:
    """The setting that a name can give to its method, as in `stego@12` and `prune@0.5`."""

    argument: str
    """Argument of the method's class, and key of its report's settings."""
    kind: type[int] | type[float]
    least: float
    most: float

    def read(self, method: str, text: str) -> float:
        """Return the value of `text`; raises `UsageError` for one that `method` cannot have."""
        value: float | None = None
        with suppress(ValueError):
            value = self.kind(text)
        if value is None or not self.least <= value <= self.most:
            example = f"{method}@{(self.least + self.most) / 2:g}"
            raise UsageError(
                f"method {method}@{text}: {self.argument} must be "
                f"{self.least:g} to {self.most:g}; write for instance {example}"
            )
        return value


_BITS = Setting("bits", int, 1, 31)
_FRACTION = Setting("fraction", float, 0.001, 0.999)
SETTINGS: Mapping[str, Setting] = {
    "stego": _BITS,
    "stego-fp32": _BITS,
    "stego-once": _BITS,
    "stego-once-random": _BITS,
    "prune": _FRACTION,
    "prune-layerwise": _FRACTION,
    "prune-once": _FRACTION,
    "lora": Setting("rank", int, 1, 1024),
    "qlora": Setting("rank", int, 1, 1024),
    "freeze": Setting("layers", int, 1, 1000),
}
"""Method -> the setting that may stand behind its name; the method then searches nothing."""


_BESIDE_LORA = ("lora", "stego", "stego-fp32", "stego-once", "freeze-bn")
"""Methods that `lora` composes with: merged adapters would fill what others have pruned."""


def base_name(part: str) -> str:
    """The registered name within `part`, one method of a composition.

    "stego" of "stego@12", "baseline-again" of "baseline-again-2".
    """
    name = part.partition("@")[0].strip()
    return REPEAT if re.fullmatch(rf"{REPEAT}-[1-9]\d*", name) else name


def given_setting(part: str) -> dict[str, float]:
    """The setting in a method's name: {"bits": 12} of "stego@12", {} of "stego".

    Raises `UsageError` for a value that the method cannot have, or a method that takes none.
    """
    name, at, text = part.partition("@")
    name = name.strip()
    if not at:
        return {}
    if name not in SETTINGS:
        takers = ", ".join(SETTINGS)
        raise UsageError(f"method {name} takes no setting; write {name} alone (these do: {takers})")
    setting = SETTINGS[name]
    return {setting.argument: setting.read(name, text.strip())}


def method_parts(method: str) -> tuple[str, ...]:
    """The methods that `method` names: "lowrank+stego@12" -> ("lowrank", "stego@12").

    Raises `UsageError` for an unknown part, a wrong setting, a part named twice, or `baseline` in a
    composition.
    """
    parts = tuple(map(_checked, method.split("+")))
    names = [base_name(part) for part in parts]
    if len(set(names)) < len(names):
        raise UsageError(f"method {method!r} names a part twice; name each once")
    idle = [part for part in parts if part == BASELINE or is_repeat(part)]
    if len(parts) > 1 and idle:
        raise UsageError(f"method {method!r} composes with {idle[0]}, which does nothing; drop it")
    others = [name for name in names if name not in _BESIDE_LORA]
    if "qlora" in names and len(names) > 1:
        raise UsageError(f"method {method!r}: qlora composes with nothing; name it alone")
    if "lora" in names and others:
        raise UsageError(
            f"method {method!r}: lora trains adapters beside whole layers and composes with "
            f"{', '.join(_BESIDE_LORA[1:])}; drop {others[0]}, or take freeze+{others[0]}"
        )
    return parts


def _checked(part: str) -> str:
    """Return `part` as it is always spelt: no spaces, the number without needless digits."""
    METHODS.check(base_name(part))
    name = part.partition("@")[0].strip()
    return "@".join([name, *(f"{value:.10g}" for value in given_setting(part).values())])
