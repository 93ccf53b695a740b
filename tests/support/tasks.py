"""Two small tasks beside image classification: next tokens, and a number where less is better.

Both satisfy `energybench.workloads.base.Task`, and train in seconds on one core. Their data and
their pretrained networks depend on nothing but the seeds below.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, scaled_dot_product_attention

from energybench.records.metric import Metric
from energybench.workloads.base import Batch, Forward, Scores, Share, Split, Task

SIZES: Mapping[Split, int] = {"pretrain": 512, "train": 512, "validation": 128, "test": 128}
"""Items of each split; of language modelling, sequences."""
SEEDS: Mapping[Split, int] = {"pretrain": 10, "train": 11, "validation": 12, "test": 13}


class TensorBatches:
    """`Batches` of a dict of tensors whose first dimension counts the items.

    Training splits come in a new order each epoch and without the last partial batch; each rank
    gets its part of every batch. Of other splits each rank gets a contiguous part, in order.
    """

    def __init__(
        self, data: dict[str, Tensor], split: Split, batch_size: int, seed: int, share: Share
    ) -> None:
        self._data = data
        self._items = len(next(iter(data.values())))
        self._trains = split in ("pretrain", "train")
        self._share = share
        self._size = min(batch_size, self._items) if self._trains else batch_size
        if not self._trains:
            self._size = max(1, batch_size // share[1])
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        if self._trains:
            return self._items // self._size
        return math.ceil(len(_part(torch.arange(self._items), self._share)) / self._size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if self._trains:
            order = torch.randperm(self._items, generator=self._generator)
            batches = [_part(batch, self._share) for batch in order.split(self._size)[: len(self)]]
        else:
            mine = _part(torch.arange(self._items), self._share)
            batches = list(mine.split(self._size)) if len(mine) else []
        for batch in batches:
            yield {name: tensor[batch] for name, tensor in self._data.items()}

    def skip(self, epochs: int) -> None:
        """Draw the orders of `epochs` epochs, and forget them."""
        for _ in range(epochs if self._trains else 0):
            torch.randperm(self._items, generator=self._generator)


def _part(items: Tensor, share: Share) -> Tensor:
    """The contiguous part of `items` that one rank works on."""
    rank, ranks = share
    return items[len(items) * rank // ranks : len(items) * (rank + 1) // ranks]


def value_on(task: Task, model: nn.Module, split: Split = "validation") -> float:
    """The task's metric of `model` on `split`; leaves the model in the mode it was in."""
    was_training = model.training
    model.eval()
    total, items = 0.0, 0
    with torch.inference_mode():
        for batch in task.batches(split, 64, seed=0):
            scores = task.evaluate(model, batch)
            total += scores.metric.item()
            items += len(scores.outcomes)
    model.train(was_training)
    return task.metric_value(total / items)


def train(task: Task, model: nn.Module, split: Split, steps: int, learning_rate: float) -> None:
    """AdamW on `split`, in batches of 64."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    taken = 0
    batches = task.batches(split, 64, seed=0)
    while taken < steps:
        for batch in batches:
            optimizer.zero_grad()
            task.loss(model, batch)[0].backward()
            optimizer.step()
            taken += 1
    optimizer.zero_grad()


@cache
def _pretrained(task: "NextToken | Regression") -> Mapping[str, Tensor]:
    """Weights after a short pretraining, which takes well under a second."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.network()
    train(task, model, "pretrain", task.pretraining_steps, learning_rate=0.01)
    return {name: value.clone() for name, value in model.state_dict().items()}


def _loaded(task: "NextToken | Regression", seed: int) -> nn.Module:
    """The pretrained network; `seed` does nothing, because none of its layers is new."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = task.network()
    model.load_state_dict(_pretrained(task))
    return model


class Block(nn.Module):
    """Pre-norm causal self-attention and a two-layer perceptron; (batch, length, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        heads = self.attention_in(self.norm1(states)).unflatten(-1, (3 * self.heads, -1))
        query, key, value = heads.transpose(1, 2).chunk(3, dim=1)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        attended: Tensor = states + self.attention_out(mixed.transpose(1, 2).flatten(2))
        hidden: Tensor = nn.functional.gelu(self.widen(self.norm2(attended)))
        narrowed: Tensor = self.narrow(hidden)
        return attended + narrowed


class TinyTransformer(nn.Module):
    """Tokens (batch, length) int64 -> logits (batch, length, vocabulary).

    Its input embedding and its output layer are one parameter.
    """

    def __init__(self, vocabulary: int, width: int, blocks: int, length: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads=2) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.2)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        logits: Tensor = self.head(
            self.norm(self.blocks(self.embedding(tokens) + self.positions(places)))
        )
        return logits


class NextToken:
    """The next token of a Markov chain: each token has a favourite successor, taken 80 % of times.

    In fine-tuning, a quarter of the tokens has another favourite than in pretraining. Chance is
    1/32, the best possible accuracy 0.8. Batches are {"tokens", "targets"}: (batch, 16) int64.
    """

    metric = Metric("next-token accuracy")
    name = "next-token prediction"
    item = "token"
    vocabulary, width, blocks, length = 32, 32, 1, 16
    pretraining_steps = 50

    def network(self) -> nn.Module:
        """Newly initialized."""
        return TinyTransformer(self.vocabulary, self.width, self.blocks, self.length)

    def model(self, seed: int) -> nn.Module:
        return _loaded(self, seed)

    def batches(
        self, split: Split, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> TensorBatches:
        return TensorBatches(self._data(split), split, batch_size, seed, share)

    def loss(self, model: Forward, batch: Batch) -> tuple[Tensor, int]:
        logits, targets = model(batch["tokens"]), batch["targets"]
        return cross_entropy(logits.flatten(0, 1), targets.flatten()), targets.numel()

    def answer(self, model: nn.Module, batch: Batch) -> Any:
        return model(batch["tokens"])

    def evaluate(self, model: nn.Module, batch: Batch) -> Scores:
        logits, targets = model(batch["tokens"]).float().flatten(0, 1), batch["targets"].flatten()
        said = logits.argmax(dim=1)
        return Scores(
            cross_entropy(logits, targets, reduction="sum"), (said == targets).sum(), said
        )

    def metric_value(self, mean: float) -> float:
        return mean

    def synthetic(self, batch_size: int, device: torch.device) -> Batch:
        shape = batch_size, self.length
        return {
            name: torch.randint(self.vocabulary, shape, device=device)
            for name in ("tokens", "targets")
        }

    def facts(self) -> Mapping[str, Any]:
        return {"vocabulary": self.vocabulary, "sequence_length": self.length}

    @cache  # noqa: B019 - one or two tasks live as long as the tests
    def _data(self, split: Split) -> dict[str, Tensor]:
        favourites = torch.randperm(self.vocabulary, generator=torch.Generator().manual_seed(1))
        if split != "pretrain":
            quarter = self.vocabulary // 4
            favourites[:quarter] = favourites[:quarter].roll(1)
        generator = torch.Generator().manual_seed(SEEDS[split])
        shape = SIZES[split], self.length + 1
        text = torch.randint(self.vocabulary, shape, generator=generator)
        usual = torch.rand(shape, generator=generator) < 0.8
        for place in range(1, self.length + 1):
            text[:, place] = torch.where(
                usual[:, place], favourites[text[:, place - 1]], text[:, place]
            )
        return {"tokens": text[:, :-1].contiguous(), "targets": text[:, 1:].contiguous()}


class Regression:
    """A number from eight; lower root-mean-square errors are better.

    Targets are a smooth function with unit variance plus noise of 0.1, another function in
    fine-tuning than in pretraining. Batches are {"inputs": (batch, 8), "targets": (batch,)}.
    """

    metric = Metric("rmse", higher_is_better=False, unit="", scale=1.0)
    name = "regression"
    item = "sample"
    inputs, width = 8, 48
    pretraining_steps = 150

    def network(self) -> nn.Module:
        """Newly initialized."""
        return nn.Sequential(
            nn.Linear(self.inputs, self.width),
            nn.Tanh(),
            nn.Linear(self.width, self.width),
            nn.Tanh(),
            nn.Linear(self.width, 1),
        )

    def model(self, seed: int) -> nn.Module:
        return _loaded(self, seed)

    def batches(
        self, split: Split, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> TensorBatches:
        return TensorBatches(self._data(split), split, batch_size, seed, share)

    def loss(self, model: Forward, batch: Batch) -> tuple[Tensor, int]:
        targets = batch["targets"]
        return mse_loss(model(batch["inputs"]).squeeze(1), targets), len(targets)

    def answer(self, model: nn.Module, batch: Batch) -> Any:
        return model(batch["inputs"])

    def evaluate(self, model: nn.Module, batch: Batch) -> Scores:
        said = model(batch["inputs"]).squeeze(1).float()
        errors = (said - batch["targets"]).square().sum()
        return Scores(errors, errors, said)

    def metric_value(self, mean: float) -> float:
        return math.sqrt(mean)

    def synthetic(self, batch_size: int, device: torch.device) -> Batch:
        return {
            "inputs": torch.randn(batch_size, self.inputs, device=device),
            "targets": torch.randn(batch_size, device=device),
        }

    def facts(self) -> Mapping[str, Any]:
        return {"inputs": self.inputs}

    @cache  # noqa: B019 - one or two tasks live as long as the tests
    def _data(self, split: Split) -> dict[str, Tensor]:
        shift = 0.0 if split == "pretrain" else 0.3
        directions = torch.randn(2, self.inputs, generator=torch.Generator().manual_seed(1))
        generator = torch.Generator().manual_seed(SEEDS[split])
        inputs = torch.randn(SIZES[split], self.inputs, generator=generator)
        one, other = (inputs @ directions.T / math.sqrt(self.inputs)).unbind(1)
        noise = 0.1 * torch.randn(len(inputs), generator=generator)
        return {"inputs": inputs, "targets": torch.sin(2.0 * one + shift) + other + noise}


TASKS: Mapping[str, Task] = {"next-token": NextToken(), "regression": Regression()}
