"""How images and the weights of convolutions lie in memory: row by row, or channels last."""

from collections.abc import Iterable

import torch
from torch import Tensor

_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


def memory_format(asked: str, precision: str, device: torch.device) -> str:
    """The format for training in `precision`: what was `asked`, or for "auto" the faster one.

    Tensor cores, which do tf32 and bf16 on a GPU, take convolutions with channels last; without it
    cuDNN rearranges every feature map before and after. Plain fp32 does not use them, and there
    channels last is no faster, on some GPUs slower (github.com/pytorch/pytorch/issues/44943), as it
    is no faster on a CPU.
    """
    if asked == "contiguous" or asked == "channels_last":
        return asked
    tensor_cores = device.type == "cuda" and precision != "fp32"
    return "channels_last" if tensor_cores else "contiguous"


def lay_out(tensors: Iterable[Tensor], layout: str) -> None:
    """Give every tensor of four dimensions the memory format `layout`, in place.

    Each stays the same tensor, with the same values and other strides. Activations follow: a
    convolution's output has the format of its weight, whatever that of its input.
    """
    for tensor in tensors:
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=_FORMATS[layout])
