"""Low-rank adapters: freeze the network, and train a small update beside each of its layers.

E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), by the
library peft. It is what people do to spend less on fine-tuning, and no compression: the network
keeps its size, and the adapters are merged into it before it is tested.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from energybench.compression.base import TRAINED, Score, require_score
from energybench.compression.weights import shared_names
from energybench.errors import CellError, UsageError
from energybench.operators import declare_operators
from energybench.records.record import CompressionReport

RANK = 16
"""The rank where a name gives none."""
SCALE = 2
"""An adapter's output is multiplied by this: peft's `lora_alpha` over the rank."""


class Lora:
    """Trains adapters of `rank` beside Linear and convolution layers, and nothing else.

    `targets` are ends of qualified names, such as "c_attn"; None is for all layers. Subclasses of
    the layers (their owners may use the weight directly), grouped convolutions and layers that
    share their weight (a head that is tied to an embedding) get no adapter.
    """

    name = "lora"
    stage = TRAINED
    trains_freely = True

    def __init__(self, rank: int = RANK, targets: Sequence[str] | None = None) -> None:
        self._rank = rank
        self._targets = targets

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Freeze `model` and add adapters that change nothing yet; measure nothing.

        The report has {"rank": r, "layers": how many have an adapter}. Adapters start alike in
        every run. Raises `CellError` for a model without a layer to adapt, and
        `UsageError` where peft is not installed.
        """
        require_score(score)
        layers = self._layers(model)
        if not layers:
            wanted = "" if self._targets is None else f" called {', '.join(self._targets)}"
            raise CellError(f"{self.name}: the model has no Linear or convolution{wanted}")
        peft = _library()
        training = model.training
        config = peft.LoraConfig(r=self._rank, lora_alpha=SCALE * self._rank, target_modules=layers)
        with _own_random_numbers(model):
            peft.inject_adapter_in_model(config, model)
        model.train(training)
        tied = [
            f"{' and '.join(n)} are one parameter, left as it is"
            for n in shared_names(model).values()
        ]
        settings: dict[str, float | int | str] = {"rank": self._rank, "layers": len(layers)}
        return CompressionReport(
            method=self.name,
            settings=settings,
            compression_rate=0.0,
            reference_score=None,
            score=None,
            notes=tied,
        )

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing."""

    def finalize(self, model: nn.Module) -> None:
        """Merge the adapters into their layers, in place: the network is as it was built."""
        for name, layer in list(model.named_modules()):
            if hasattr(layer, "base_layer") and hasattr(layer, "lora_A"):
                layer.merge()
                model.set_submodule(name, layer.get_base_layer())

    def _layers(self, model: nn.Module) -> list[str]:
        shared = {name for names in shared_names(model).values() for name in names}
        return [
            name
            for name, layer in model.named_modules()
            if _takes_adapter(layer) and f"{name}.weight" not in shared and self._is_target(name)
        ]

    def _is_target(self, name: str) -> bool:
        if self._targets is None:
            return True
        return any(name == end or name.endswith(f".{end}") for end in self._targets)


def _takes_adapter(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.groups == 1
    return type(layer) is nn.Linear


@contextmanager
def _own_random_numbers(model: nn.Module) -> Iterator[None]:
    """Draw the same random numbers in every block, and leave PyTorch's generators as they are."""
    devices = {one.device for one in model.parameters() if one.device.type == "cuda"}
    with torch.random.fork_rng(sorted(device.index for device in devices)):
        torch.manual_seed(0)
        yield


def _library() -> Any:
    declare_operators()  # peft imports torchvision
    try:
        import peft
    except ImportError as error:
        raise UsageError(
            f"lora needs peft ({error}); pip install 'energybench[language]'"
        ) from error
    return peft
