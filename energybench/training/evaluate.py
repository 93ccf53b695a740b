"""Loss and predictions of a model on one split."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from energybench.training.distributed.group import ALONE, Group
from energybench.training.precision import arithmetic


@dataclass(frozen=True)
class Evaluation:
    """What a model does on one split."""

    loss: float
    """Mean cross-entropy per image, nats."""
    labels: Tensor
    """(images,) int64, on the CPU."""
    predictions: Tensor
    """(images,) int64, on the CPU."""

    @property
    def correct(self) -> int:
        """Images classified correctly."""
        return int((self.labels == self.predictions).sum())

    @property
    def accuracy(self) -> float:
        """Share of images classified correctly, 0..1."""
        return self.correct / len(self.labels)


def evaluated_at_once(device: torch.device) -> int:
    """Training batches that are evaluated as one: more keep a GPU busier, not a CPU."""
    return 4 if device.type == "cuda" else 1


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
    precision: str = "fp32",
    group: Group = ALONE,
) -> Evaluation:
    """Run `model` over every batch, in eval mode, and leave it in the mode it was in.

    `batches` are this rank's share of the split; the result is that of the whole split, on all.
    """
    was_training = model.training
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=device)
    labels, predictions = [], []
    with arithmetic(precision, device):
        for images, targets in batches:
            targets = targets.to(device, non_blocking=True)
            logits = model(images.to(device, non_blocking=True))
            loss += cross_entropy(logits.float(), targets, reduction="sum")
            labels.append(targets)
            predictions.append(logits.argmax(dim=1))
    model.train(was_training)
    own = loss.item(), _joined(labels), _joined(predictions)
    losses, all_labels, all_predictions = zip(*group.gather(own), strict=True)
    truth = _joined(all_labels)
    return Evaluation(sum(losses) / len(truth), truth, _joined(all_predictions))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """On the CPU. Of a small split some ranks have no part."""
    return torch.cat(list(parts)).cpu() if parts else torch.empty(0, dtype=torch.int64)
