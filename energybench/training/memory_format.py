"""Memory formats of images and convolution weights: contiguous or channels last."""

from collections.abc import Iterable

import torch
from torch import Tensor

_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


def memory_format(asked: str, precision: str, device: torch.device) -> str:
    """Return the format for training in `precision`: the one `asked` for, for "auto" the faster.

    Tensor cores compute tf32 and bf16 convolutions in channels last; in the contiguous format,
    cuDNN rearranges every feature map before and after. In fp32, and on a CPU, channels last is no
    faster; on some GPUs it is slower (github.com/pytorch/pytorch/issues/44943).
    """
    if asked == "contiguous" or asked == "channels_last":
        return asked
    tensor_cores = device.type == "cuda" and precision in ("tf32", "bf16")
    return "channels_last" if tensor_cores else "contiguous"


def lay_out(tensors: Iterable[Tensor], format_name: str) -> None:
    """Convert every tensor of four dimensions to the memory format `format_name`, in place.

    Tensors keep their identity and values; only strides change. Activations follow, because a
    convolution's output takes the format of its weight. `format_name` is contiguous or
    channels_last.
    """
    for tensor in tensors:
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=_FORMATS[format_name])
