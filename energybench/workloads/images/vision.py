"""Imports torchvision: `from energybench.workloads.images.vision import torchvision`.

torchvision's compiled library is built against one build of torch. Beside another build, for
instance a CPU-only torch, the library does not load. `import torchvision` then dies while it
registers fake kernels for undeclared operators: "operator torchvision::nms does not exist". Only
in that case, this module declares the operators without an implementation. Models and transforms
do not use them; calling one (`torchvision.ops.nms`) still fails, as it should.
"""

import importlib.util
from pathlib import Path

import torch

_FAKED_BY_TORCHVISION = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _compiled_library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # the import below then says that torchvision is missing
    folder = Path(spec.origin).parent
    try:
        for library in sorted(folder.glob("_C.*")):
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return True


if not _compiled_library_loads():
    _declared = torch.library.Library("torchvision", "DEF")
    for _schema in _FAKED_BY_TORCHVISION:
        _declared.define(_schema)

import torchvision  # noqa: E402
from torchvision.transforms import v2 as transforms  # noqa: E402

__all__ = ["torchvision", "transforms"]
