"""Loss, metric and outcomes of a model on one split."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from energybench.errors import CellError
from energybench.training.distributed.group import ALONE, Group
from energybench.training.feed import to_device
from energybench.training.precision import arithmetic
from energybench.workloads.base import Batch, Task


@dataclass(frozen=True)
class Evaluation:
    """A model's results on one split."""

    loss: float
    """Mean per item; for images, cross-entropy in nats."""
    value: float
    """The task's metric; for images, the accuracy, 0..1."""
    items: int
    """Items of the split."""
    outcomes: Tensor
    """(items,) int64 or float, on the CPU, in the split's order: the answer to each item."""
    right: Tensor | None = None
    """(items,) bool, like `outcomes`: whether it is right; None where the task does not say."""


def evaluated_at_once(device: torch.device) -> int:
    """Return how many training batches are evaluated as one: more keep a GPU busier, not a CPU."""
    return 4 if device.type == "cuda" else 1


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    task: Task,
    batches: Iterable[Batch],
    device: torch.device,
    precision: str = "fp32",
    group: Group = ALONE,
) -> Evaluation:
    """Judge `model` by `task` on every batch, in evaluation mode; the model's mode is restored.

    `batches` are this rank's share of the split; the result is the whole split's, on every rank.
    Sums are in float64 on the device, which is waited for once, at the end. Raises `CellError` for
    a split without items.
    """
    was_training = model.training
    model.eval()
    loss, metric = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    outcomes, right = [], []
    with arithmetic(precision, device):
        for batch in batches:
            scores = task.evaluate(model, to_device(batch, device))
            loss += scores.loss
            metric += scores.metric
            outcomes.append(scores.outcomes)
            right.extend([] if scores.right is None else [scores.right])
    model.train(was_training)
    own = loss.item(), metric.item(), _joined(outcomes), _joined(right)
    losses, metrics, parts, judged = zip(*group.all_gather(own), strict=True)
    answers = _joined(parts)
    items = len(answers)
    if items == 0:
        raise CellError("a split to evaluate has no items; add some to the data set")
    return Evaluation(
        loss=sum(losses) / items,
        value=task.metric_value(sum(metrics) / items),
        items=items,
        outcomes=answers,
        right=_whole(judged, items),
    )


def _whole(parts: Sequence[Tensor], items: int) -> Tensor | None:
    """Join the ranks' judgements; None unless there is one for every item."""
    right = _joined(parts)
    return right.bool() if len(right) == items else None


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate on the CPU; a rank without a part of a small split has an empty tensor."""
    found = [part for part in parts if len(part)]
    return torch.cat(found).cpu() if found else torch.empty(0, dtype=torch.int64)
