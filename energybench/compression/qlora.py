"""Low-rank adapters beside layers that are frozen in four bits.

T. Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv 2305.14314): NF4 values
in blocks of 64 with scales quantized a second time, by the libraries bitsandbytes and peft. The
four bits save memory while training. Each step computes the layers' weights from them again, so it
may take longer and cost more energy than `lora`.
"""

import logging
from typing import Any

from torch import Tensor, nn

from energybench.compression.base import Score
from energybench.compression.lora import Lora
from energybench.errors import CellError, UsageError
from energybench.operators import declare_operators
from energybench.records.record import CompressionReport

_BLOCK = 64
"""Values that share a scale, as in the paper."""


class QLora(Lora):
    """Trains adapters as `Lora` does, beside Linear layers whose frozen weights are NF4.

    Convolutions get adapters too and stay in 32 bits; so do layers that share their weight.
    """

    name = "qlora"

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Quantize and freeze the Linear layers of `model`, and add adapters; measure nothing.

        The report's settings are those of `Lora`, and {"bits": 4, "quantized": share of the
        model's parameters}. Raises `CellError` for a model without a Linear to quantize, and
        `UsageError` where bitsandbytes or peft is not installed.
        """
        library = _library()
        layers = {
            name: layer
            for name in self._layers(model)
            if type(layer := model.get_submodule(name)) is nn.Linear
        }
        if not layers:
            raise CellError(f"{self.name}: the model has no Linear whose weight is its own")
        everything = sum(parameter.numel() for parameter in model.parameters())
        quantized = sum(layer.weight.numel() for layer in layers.values())
        report = super().compress(model, score, tolerance)
        for name, layer in layers.items():
            adapted: Any = model.get_submodule(name)
            adapted.base_layer = Frozen4Bit(layer, library)
        report.settings.update(bits=4, quantized=round(quantized / everything, 4))
        return report

    def finalize(self, model: nn.Module) -> None:
        """Merge the adapters in float32, in place: every layer is an ordinary one again.

        Its weight is what training used, the value of the four bits, plus the adapter's update.
        """
        for layer in list(model.modules()):
            frozen = getattr(layer, "base_layer", None)
            if isinstance(frozen, Frozen4Bit):
                layer.base_layer = frozen.restored()
        super().finalize(model)


class Frozen4Bit(nn.Module):
    """A frozen Linear, (..., inputs) -> (..., outputs), whose weight is kept in NF4.

    The weight never changes, and stays on its device. The state has the values of the four bits
    as `weight`, and loading a state leaves them.
    """

    def __init__(self, layer: nn.Linear, library: Any) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        self._multiply = library.matmul_4bit
        self._unpack = library.functional.dequantize_4bit
        packed, self._scales = library.functional.quantize_4bit(
            layer.weight.detach(), blocksize=_BLOCK, compress_statistics=True, quant_type="nf4"
        )
        self.packed: Tensor
        self.register_buffer("packed", packed, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply by the weight, which is computed from its four bits."""
        found: Tensor = self._multiply(
            inputs, self.packed.t(), quant_state=self._scales, bias=self.bias
        )
        return found

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.restored().weight.detach()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        own = {name: value for name, value in state_dict.items() if name != f"{prefix}weight"}
        super()._load_from_state_dict(own, prefix, *others)

    def restored(self) -> nn.Linear:
        """Return a Linear with the value of the four bits as its weight."""
        weight = self._unpack(self.packed, self._scales)
        linear = nn.Linear(self.in_features, self.out_features, device="meta")
        linear.weight = nn.Parameter(weight, requires_grad=False)
        linear.bias = self.bias
        return linear


def _library() -> Any:
    declare_operators()  # transformers imports torchvision
    try:
        log = logging.getLogger("bitsandbytes")
        level = log.level
        log.setLevel(logging.ERROR)  # it warns of each optional kernel that is not there
        try:
            import bitsandbytes
        finally:
            log.setLevel(level)
    except ImportError as error:
        raise UsageError(
            f"qlora needs bitsandbytes ({error}); pip install 'energybench[qlora]'"
        ) from error
    return bitsandbytes
