"""Floating-point operations and bytes of a step, and how many a device can do at most."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from energybench.training.precision import arithmetic

_MATRIX = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices whose product is timed."""
_BUFFER = {"cpu": 2**28, "cuda": 2**30}
"""Bytes that are copied: far more than caches hold."""
_ONLY_ALLOCATE = ("aten::empty", "aten::new_empty")


def flops(step: Callable[[], object]) -> int:
    """Floating-point operations of one `step`; a multiplication with its addition is 2.

    Of matrix products and convolutions, forward and backward, by PyTorch's `FlopCounterMode`;
    element-wise work and what PyTorch has no formula for (sparse kernels) count nothing.
    """
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def bytes_moved(step: Callable[[], object]) -> int:
    """An estimate of the bytes that one `step` reads and writes.

    The sizes of the inputs and outputs of every operation, in place or not; views move nothing.
    As if each operation went to memory: what caches and fused kernels spare is counted all the
    same.
    """
    counter = _BytesMoved()
    with counter:
        step()
    return int(counter.total)


class _BytesMoved(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.name()
        if not (func.is_view or name.startswith(_ONLY_ALLOCATE) or name == "aten::detach"):
            self.total += _bytes((args, kwargs)) + _bytes(result)
        return result


def _bytes(tree: Any) -> int:
    tensors = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_flops_per_s(
    precision: str, device: torch.device, synchronize: Callable[[], None], rounds: int = 8
) -> float:
    """The best of `rounds` products of two large square matrices in `precision`."""
    side = _MATRIX[device.type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    with arithmetic("fp32" if precision == "bf16" else precision, device):
        seconds = _best(lambda: torch.mm(left, right, out=out), synchronize, rounds)
    return 2.0 * side**3 / seconds


def peak_bytes_per_s(
    device: torch.device, synchronize: Callable[[], None], rounds: int = 8
) -> float:
    """The best of `rounds` copies of a large buffer; its bytes are read and written."""
    source = torch.ones(_BUFFER[device.type] // 4, device=device)
    target = torch.empty_like(source)
    seconds = _best(lambda: target.copy_(source), synchronize, rounds)
    return 2.0 * _BUFFER[device.type] / seconds


def _best(call: Callable[[], object], synchronize: Callable[[], None], rounds: int) -> float:
    """Least seconds of a call, after one that does not count."""
    call()
    found = []
    for _ in range(rounds):
        synchronize()
        start = time.perf_counter()
        call()
        synchronize()
        found.append(time.perf_counter() - start)
    return min(found)
