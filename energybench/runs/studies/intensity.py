"""Floating-point operations and bytes of a step, and the ceilings of the device."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from energybench.training.precision import arithmetic

_MATRIX = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices whose product is timed."""
_BUFFER = {"cpu": 2**30, "cuda": 2**30}
"""Bytes to copy, more than the 2**28 or so that the caches of servers hold."""
_ONLY_ALLOCATE = ("aten::empty", "aten::new_empty")


def flops(step: Callable[[], object]) -> int:
    """Count the floating-point operations of one `step`; a multiply-add counts as 2.

    PyTorch's `FlopCounterMode` counts matrix products and convolutions, forward and backward.
    Element-wise operations and sparse kernels count as 0.
    """
    own = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        step()
    return int(counter.get_total_flops())


def _convolution_backward(
    grad_shape: Any, image_shape: Any, weight_shape: Any, *rest: Any, **_: Any
) -> int:
    """Count each requested gradient like the forward convolution.

    PyTorch's own formula counts the weight gradient of a grouped convolution as a dense one.
    """
    *_settings, transposed, _padding, _groups, asked_for = rest
    forward = conv_flop_count(image_shape, weight_shape, grad_shape, transposed=transposed)
    return int(forward * sum(asked_for[:2]))


def bytes_moved(step: Callable[[], object]) -> int:
    """Estimate the bytes that one `step` reads and writes.

    The estimate adds up the inputs and outputs of every operation. A tensor changed in place counts
    twice, a view counts nothing. The traffic saved by caches and fused kernels is ignored.
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
            changed = _changed(func, args, kwargs or {})
            known = {id(leaf) for leaf in tree_leaves(changed)}
            new = [leaf for leaf in tree_leaves(result) if id(leaf) not in known]
            self.total += _bytes((args, kwargs)) + _bytes(changed) + _bytes(new)
        return result


def _changed(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any]:
    """Return the arguments that `func` writes into, according to its schema."""
    declared = func._schema.arguments
    given = {argument.name: value for argument, value in zip(declared, args, strict=False)} | kwargs
    written = (one.name for one in declared if one.alias_info and one.alias_info.is_write)
    return [given[name] for name in written if name in given]


def _bytes(tree: Any) -> int:
    tensors = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_flops_per_s(
    precision: str, device: torch.device, synchronize: Callable[[], None], rounds: int = 8
) -> float:
    """Time products of two large square matrices in `precision`; the best of `rounds` counts."""
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
    """Time copies of a large buffer, read and written; the best of `rounds` counts."""
    source = torch.ones(_BUFFER[device.type] // 4, device=device)
    target = torch.empty_like(source)
    seconds = _best(lambda: target.copy_(source), synchronize, rounds)
    return 2.0 * _BUFFER[device.type] / seconds


def _best(call: Callable[[], object], synchronize: Callable[[], None], rounds: int) -> float:
    """Return the least seconds of a call, after one warm-up call."""
    call()
    found = []
    for _ in range(rounds):
        synchronize()
        start = time.perf_counter()
        call()
        synchronize()
        found.append(time.perf_counter() - start)
    return min(found)
