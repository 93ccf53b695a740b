"""The memory of one rank in training steps."""

import torch
from torch import Tensor, nn

from energybench.records.forecast import MemoryUse
from energybench.runs import host_memory


class MemoryWatch:
    """The memory of this rank in the steps after its construction."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        """Begin after the first step, which has allocated gradients and momenta."""
        self._device = device
        parameters = list(network.parameters())
        self._parameters = sum(map(own_bytes, parameters))
        gradients = (one.grad for one in parameters if one.grad is not None)
        self._gradients = sum(map(own_bytes, gradients))
        state = (value for values in optimizer.state.values() for value in values.values())
        self._momentum = sum(own_bytes(value) for value in state if isinstance(value, Tensor))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
        else:
            host_memory.forget_peak()
            self._before = host_memory.resident_bytes()

    def use(self) -> MemoryUse:
        """Return what was used until now."""
        cuda = self._device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self._device) if cuda else host_memory.peak_bytes()
        return MemoryUse(
            parameters=self._parameters,
            gradients=self._gradients,
            momentum=self._momentum,
            activations=max(0, peak - self._before),
            peak=peak,
        )


def own_bytes(tensor: Tensor) -> int:
    """The bytes of `tensor` on this rank; of one that is divided among ranks, of its share."""
    own = getattr(tensor, "to_local", None)
    local: Tensor = tensor if own is None else own()
    return local.numel() * local.element_size()
