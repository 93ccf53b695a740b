"""Answers of a causal model of transformers: prefill and decoding over a cache of keys and values.

Decoding is greedy, and goes on past any end-of-text token, so that every answer has as many tokens.
The cache is the one that transformers makes (`DynamicCache`). After decoding it is cut back to the
prompt, which moves no data, so that decoding can be repeated without another prefill.
"""

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from energybench.errors import CellError


@dataclass(frozen=True)
class Prefilled:
    """Prompts that were read."""

    first: Tensor
    """(prompts, 1) int64: the first token of each answer."""
    cache: Any
    """Keys and values of the prompts' tokens."""


@dataclass(frozen=True, eq=False)
class PromptedModel:
    """`Answers` of `model` to `prompts`, (prompts, length) int64; an answer has `answer_length`."""

    model: nn.Module
    prompts: Tensor
    answer_length: int

    def prefill(self) -> Prefilled:
        """Read the prompts; raises `CellError` for a model that returns no cache."""
        first, cache = self._next(self.prompts, None)
        if cache is None:
            raise CellError("the model returns no cache of keys and values, so it has no prefill")
        return Prefilled(first, cache)

    def decode(self, start: Prefilled) -> Tensor:
        """Write the answers, (prompts, answer length), and cut the cache back to the prompts.

        Raises `CellError` for a cache that transformers cannot cut, as one of a recurrent model.
        """
        tokens, cache = [start.first], start.cache
        for _ in range(self.answer_length - 1):
            following, cache = self._next(tokens[-1], cache)
            tokens.append(following)
        try:
            cache.crop(1 - self.answer_length)
        except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
            raise CellError(
                f"the model's cache cannot be cut back to the prompt ({error}), so decoding has no "
                "window of its own"
            ) from error
        return torch.cat(tokens, dim=1)

    def _next(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Return the model's choice after `tokens`, (prompts, 1), and the cache with `tokens`."""
        found = self.model(tokens, use_cache=True, **{self._cache: cache}, **self._last_only)
        return found.logits[:, -1:].argmax(dim=-1), getattr(found, self._cache, None)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.model.forward).parameters)

    @cached_property
    def _cache(self) -> str:
        """The cache's name, which newer versions of transformers have changed."""
        return "cache" if "cache" in self._names else "past_key_values"

    @cached_property
    def _last_only(self) -> dict[str, int]:
        """The option by which only the last token's logits are computed, as `generate` does."""
        return {"logits_to_keep": 1} if "logits_to_keep" in self._names else {}
