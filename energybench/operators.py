"""Declares torchvision's operators where its compiled library does not fit the installed torch.

torchvision's compiled library is built against one build of torch. Beside another build, for
instance a CPU-only torch, the library does not load. `import torchvision` then dies while it
registers fake kernels for undeclared operators: "operator torchvision::nms does not exist". So do
peft and most of transformers, which import it. Whoever imports one of the three calls
`declare_operators` first. Only where the library does not load, it declares the operators without
an implementation. Models and transforms do not use them; calling one (`torchvision.ops.nms`) still
fails, as it should.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

_FAKED_BY_TORCHVISION = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_DECLARED: list[Any] = []
"""Libraries of declarations; an operator is gone with its library."""


@cache
def declare_operators() -> None:
    """Declare the operators that torchvision registers kernels for, where they would be missing."""
    import torch

    if _compiled_library_loads():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _FAKED_BY_TORCHVISION:
        name = f"torchvision::{schema.partition('(')[0]}"
        if not torch._C._jit_get_schemas_for_operator(name):  # nobody has declared it
            library.define(schema)
    _DECLARED.append(library)


def _compiled_library_loads() -> bool:
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # the import then says that torchvision is missing
    folder = Path(spec.origin).parent
    try:
        for library in sorted(folder.glob("_C.*")):
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return True
