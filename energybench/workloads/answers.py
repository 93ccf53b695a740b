"""Protocols of a task whose network writes its answers token by token, for the inference study."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class Answers(Protocol):
    """Prompts of one length, and the network that answers all of them together."""

    def prefill(self) -> Any:
        """Read the prompts, and choose the first token of each answer.

        Returns what `decode` goes on from.
        """
        ...

    def decode(self, start: Any) -> Tensor:
        """Write the rest of the answers, one token of each at a time.

        Returns the answers, (prompts, answer length) int64. `start` can be used again after it.
        """
        ...


@runtime_checkable
class Writes(Protocol):
    """Optional member of a task whose network writes answers of any length."""

    def answers(
        self,
        model: nn.Module,
        prompts: int,
        prompt_length: int,
        answer_length: int,
        device: torch.device,
    ) -> Answers:
        """Return random prompts for `model`; the lengths count tokens, an answer has 2 or more.

        Raises `UsageError` where the model takes fewer tokens at once, or keeps no cache that can
        be shortened.
        """
        ...
