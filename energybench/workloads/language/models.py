"""Causal language models by name: the embedded one, SmolLM2, and any folder of transformers'.

A model says how text becomes its tokens, how its network is built, and where its weights come from.
Layers that transformers keeps as transposed `Conv1D` (GPT-2's) are ordinary Linear layers here, so
that every method sees them.
"""

from typing import Protocol

import torch
from torch import nn

from energybench.errors import UsageError
from energybench.registry import MODELS
from energybench.workloads.base import Weights


class LanguageModel(Protocol):
    """One causal language model. Equal models are interchangeable, and hashable."""

    @property
    def name(self) -> str:
        """The model's name in records."""
        ...

    @property
    def vocabulary(self) -> int:
        """Number of tokens that the model knows."""
        ...

    @property
    def longest_block(self) -> int | None:
        """Most tokens that the model sees at once; None for any number."""
        ...

    def __hash__(self) -> int:
        """Return the hash of what the model is."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`, without any that mark its start or end."""
        ...

    def build(self) -> nn.Module:
        """Return a freshly initialized network, on the CPU; its output has `logits`."""
        ...

    def weights(self, given: str | None, device: torch.device, seed: int) -> Weights:
        """Return the weights: `given` (`RunConfig.weights`), or the model's own where None.

        Missing weights are trained on `device`, where they are trained here; `seed` decides them.
        """
        ...


def find_model(name: str) -> LanguageModel:
    """Return the language model called `name`; raises `UsageError` if it is none."""
    model: LanguageModel = MODELS.get(name)
    if not hasattr(type(model), "encode"):
        raise UsageError(
            f"{name} is no language model; with a text, name gpt2-tiny, smollm2-135m or hf:PATH"
        )
    return model


def plain_linear(model: nn.Module) -> nn.Module:
    """Replace every `Conv1D` of transformers' by a Linear of the same function, in place."""
    from energybench.workloads.language.libraries import transformers

    kind = transformers.pytorch_utils.Conv1D
    found = [(name, layer) for name, layer in model.named_modules() if type(layer) is kind]
    for name, layer in found:
        inputs, outputs = layer.weight.shape
        linear = nn.Linear(inputs, outputs, device="meta")
        linear.weight = nn.Parameter(layer.weight.detach().T.contiguous())
        linear.bias = layer.bias
        model.set_submodule(name, linear)
    return model
