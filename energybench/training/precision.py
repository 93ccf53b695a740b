"""The arithmetic of training: fp32, tf32 or bf16, set for a block and restored after it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from energybench.errors import UsageError


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `UsageError` unless `device` executes `precision` natively enough to be measured."""
    if precision == "tf32" and (
        device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)
    ):
        raise UsageError(
            "precision tf32 needs an NVIDIA GPU of the Ampere generation or newer; "
            "use --energy-precision=fp32 or bf16 here"
        )
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise UsageError("this GPU has no bfloat16 arithmetic; use --energy-precision=fp32")


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Run the block in `precision` on `device`.

    fp32 is full fp32: TF32, which PyTorch allows in convolutions by default, is off.
    bf16 is autocast to bfloat16 over float32 weights; its cache of cast weights is off, because it
    would outlive an optimizer step within the block.
    """
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
