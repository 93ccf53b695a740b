"""Files of torchvision's as it publishes them, of names and shapes alone, and networks to fill."""

from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from energybench.registry import MODELS
from energybench.workloads.images.networks import ModelSpec


class _Undrawn(ModelSpec):
    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        with torch.device("meta"):
            model = super().build(classes, photographs)
        model = model.to_empty(device="cpu")
        for parameter in model.get_submodule(self.head).parameters():
            parameter.data.zero_()
        return model


def undrawn(name: str) -> ModelSpec:
    """A registered network whose weights are whatever memory holds, the head's zero: no drawing."""
    return _Undrawn(**asdict(MODELS.get(name)))


def layout(path: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape from a file of lines `MODULE SHAPE NAME...` below its first."""
    found: dict[str, tuple[int, ...]] = {}
    for line in path.read_text().splitlines()[1:]:
        module, shape, *names = line.split()
        found |= {f"{module}.{name}": tuple(map(int, shape.split("x"))) for name in names}
    return found


def write_as_published(path: Path, target: Path, value: float) -> "OrderedDict[str, Tensor]":
    """Write a file of `path`'s layout whose elements are all one `value` in one place.

    Its format is that of the published file: of the time before PyTorch 1.6, or a ZIP since then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    state = OrderedDict(
        (name, torch.full((1,), value).expand(shape)) for name, shape in layout(path).items()
    )
    legacy = path.read_text().partition("\n")[0].endswith("legacy")
    torch.save(state, target, _use_new_zipfile_serialization=not legacy)
    return state
