"""The arithmetic of training, fp32, tf32 or bf16: set for a block and restored after it.

"default" sets nothing: it is what PyTorch takes by itself, or what the user's own code has set.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from energybench.errors import UsageError

_BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16")
"""CPU instruction sets that multiply bfloat16 and add in float32; the last two are ARM's."""
_AMPERE = (8, 0)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `UsageError` unless `precision` may be asked for on `device`.

    Allowed are the arithmetics that the device executes natively, and bf16 on any CPU, where it is
    slow but right.
    """
    reason = native(precision, device)
    if reason is not None and (precision, device.type) != ("bf16", "cpu"):
        others = "fp32 or bf16" if precision == "tf32" else "fp32"
        raise UsageError(f"{reason}; use precision {others} here")


def native(precision: str, device: torch.device) -> str | None:
    """Return None if `device` executes `precision` natively, else the reason why not, one line."""
    if precision in ("fp32", "default"):
        return None
    if precision == "tf32":
        return None if _is_ampere(device) else _needs_ampere("tf32")
    if precision != "bf16":
        raise ValueError(f"unknown precision {precision!r}")
    if device.type == "cuda":
        return None if _is_ampere(device) else _needs_ampere("bf16")
    if device.type != "cpu":
        return f"precision bf16 is not known to be native on {device.type}"
    if not torch.backends.mkldnn.is_available():
        return "this PyTorch has no oneDNN, which does bfloat16 arithmetic on a CPU"
    if not hasattr(torch.cpu, "get_capabilities"):
        return "this PyTorch cannot tell whether the CPU has bfloat16 instructions"
    if any(torch.cpu.get_capabilities().get(name) for name in _BF16_INSTRUCTIONS):
        return None
    return "this CPU has no bfloat16 instructions (AVX512_BF16 or AMX_BF16; BF16 on ARM)"


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Run the block in `precision` on `device`.

    "default" leaves everything as it is. fp32 is full fp32: TF32, which PyTorch allows in
    convolutions by default, is off. bf16 is autocast to bfloat16 over float32 weights. Autocast's
    cache of cast weights is off, because the cached weights would outlive an optimizer step within
    the block.
    """
    if precision == "default":
        yield
        return
    tf32 = precision == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        with torch.autocast(
            device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _is_ampere(device: torch.device) -> bool:
    """Return whether `device` is an NVIDIA GPU of the Ampere generation or newer."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _AMPERE


def _needs_ampere(precision: str) -> str:
    return f"precision {precision} needs an NVIDIA GPU of the Ampere generation or newer"
