"""Language modelling: one text and one causal model of transformers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from energybench.errors import UsageError
from energybench.records.metric import Metric
from energybench.workloads.base import Batches, Forward, Scores, Share, Split, Weights
from energybench.workloads.language import scoring
from energybench.workloads.language.answers import PromptedModel
from energybench.workloads.language.blocks import BlockBatches, TextBatch, packed
from energybench.workloads.language.models import LanguageModel, find_model
from energybench.workloads.order import BatchOrder


class Splits(Protocol):
    """The texts that a task is made from."""

    @property
    def name(self) -> str:
        """The data set's name in records."""
        ...

    @property
    def parts(self) -> Mapping[Split, str]:
        """Split -> its text."""
        ...

    @property
    def block_length(self) -> int:
        """Tokens per block."""
        ...


@dataclass(frozen=True, eq=False)
class LanguageModelling:
    """The `PretrainedTask` of predicting each next token of `data` with the model `spec`.

    The loss is cross-entropy in nats, whose exponential is the perplexity. The metric is the share
    of tokens that are the model's first choice, and the outcome of a token the one predicted. A
    batch counts blocks; losses and throughput count tokens.
    """

    data: Splits
    spec: LanguageModel
    given_weights: str | None
    """Checkpoint file or folder (`RunConfig.weights`); None for the model's own weights."""
    device: torch.device
    """The device that missing weights are trained on."""
    name: ClassVar[str] = "language modelling"
    metric: ClassVar[Metric] = scoring.NEXT_TOKEN
    item: ClassVar[str] = "token"
    head: ClassVar[str] = "lm_head"
    """Never new: a model keeps its vocabulary."""

    @classmethod
    def named(cls, model: str, data: Splits, weights: str | None, device: torch.device) -> Self:
        """Make the task of the language model `model`; raises `UsageError` if unknown."""
        spec = find_model(model)
        longest = spec.longest_block
        if longest is not None and data.block_length > longest:
            raise UsageError(
                f"{model} takes blocks of at most {longest:,} tokens, and block-length is "
                f"{data.block_length:,}; lower it"
            )
        return cls(data, spec, weights, device)

    @property
    def weights(self) -> Weights:
        """The pretrained weights; raises `UsageError` if `given_weights` are not found."""
        return self.spec.weights(
            self.given_weights, self.device, getattr(self.data, "split_seed", 0)
        )

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Predicted tokens per split."""
        length = self.data.block_length
        return {split: length * len(self._blocks(split)) for split in self.data.parts}

    def model(self, seed: int) -> nn.Module:
        """Return the pretrained network, on the CPU; `seed` initializes nothing."""
        model, _ = self.weights.load(torch.device("cpu"), seed)
        return model

    def batches(self, split: Split, batch_size: int, seed: int, share: Share = (0, 1)) -> Batches:
        """Return one split in batches of `batch_size` blocks, see `blocks.BlockBatches`."""
        blocks = self._blocks(split)
        return BlockBatches(blocks, BatchOrder(split, len(blocks), batch_size, seed, share))

    def loss(self, forward: Forward, batch: TextBatch) -> tuple[Tensor, int]:
        """Return the mean cross-entropy of the next token, (), and the number of tokens."""
        return scoring.training_loss(forward, batch)

    def answer(self, model: nn.Module, batch: TextBatch) -> Tensor:
        """Return the logits of each next token, (blocks, length, vocabulary)."""
        return scoring.logits(model, batch[0])

    def evaluate(self, model: nn.Module, batch: TextBatch) -> Scores:
        """Return summed cross-entropy, right predictions, and predicted tokens."""
        return scoring.scores(model, batch)

    def metric_value(self, mean: float) -> float:
        """Return the accuracy, which is the mean of right predictions itself."""
        return mean

    def synthetic(self, batch_size: int, device: torch.device) -> TextBatch:
        """Return blocks of random tokens of the model's vocabulary."""
        return scoring.random_blocks(
            batch_size, self.data.block_length, self.spec.vocabulary, device
        )

    def answers(
        self,
        model: nn.Module,
        prompts: int,
        prompt_length: int,
        answer_length: int,
        device: torch.device,
    ) -> PromptedModel:
        """Return prompts of random tokens for `model`, see `Writes.answers`."""
        if answer_length < 2:
            raise UsageError(f"an answer of {answer_length} token has nothing to decode; ask for 2")
        longest, needed = self.spec.longest_block, prompt_length + answer_length
        if longest is not None and needed > longest:
            raise UsageError(
                f"{self.spec.name} takes at most {longest:,} tokens, and prompt and answer have "
                f"{needed:,}; shorten them"
            )
        tokens = torch.randint(self.spec.vocabulary, (prompts, prompt_length), device=device)
        return PromptedModel(model, tokens, answer_length)

    def facts(self) -> Mapping[str, Any]:
        """Return the block length and the size of the vocabulary."""
        return {"block_length": self.data.block_length, "vocabulary": self.spec.vocabulary}

    def _blocks(self, split: Split) -> Tensor:
        what = f"the {split} text of {self.data.name}"
        tokens = _tokens(self.spec, self.data.parts[split], what)
        return packed(tokens, self.data.block_length, what)


@lru_cache(maxsize=16)
def _tokens(spec: LanguageModel, text: str, what: str) -> Tensor:
    """Return the tokens of `text`, (n,) int64; raises `UsageError` for one unknown to the model."""
    tokens = torch.tensor(spec.encode(text))
    largest = int(tokens.max()) if len(tokens) else 0
    if largest >= spec.vocabulary:
        raise UsageError(
            f"the tokenizer of {spec.name} makes token {largest:,} of {what}, and the model knows "
            f"{spec.vocabulary:,} tokens; put the model's own tokenizer in its folder"
        )
    return tokens
