"""Loss and accuracy of an image classifier on one batch."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from energybench.workloads.base import Forward, Scores

ImageBatch = tuple[Tensor, Tensor]
"""Images (batch, 3, size, size) float32, normalized; labels (batch,) int64."""


def training_loss(forward: Forward, batch: ImageBatch) -> tuple[Tensor, int]:
    """Return the mean cross-entropy in nats, (), and the number of images."""
    images, labels = batch
    return cross_entropy(forward(images).float(), labels), len(images)


def scores(model: nn.Module, batch: ImageBatch) -> Scores:
    """Return summed cross-entropy in nats, correct predictions, predicted and right classes."""
    images, labels = batch
    logits = model(images)
    predictions = logits.argmax(dim=1)
    right = predictions == labels
    return Scores(
        loss=cross_entropy(logits.float(), labels, reduction="sum"),
        metric=right.sum(),
        outcomes=predictions,
        right=right,
    )


def random_images(
    batch_size: int, image_size: int, classes: int, device: torch.device
) -> ImageBatch:
    """Return normally distributed images and uniformly distributed labels, on `device`."""
    images = torch.randn(batch_size, 3, image_size, image_size, device=device)
    return images, torch.randint(classes, (batch_size,), device=device)
