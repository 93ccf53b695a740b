"""Image classification: one image data set and one network of torchvision's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from energybench.records.metric import ACCURACY, Metric
from energybench.workloads.base import Batches, Forward, Scores, Share, Split
from energybench.workloads.images import scoring
from energybench.workloads.images.data.base import ImageData
from energybench.workloads.images.networks import ModelSpec, find_model
from energybench.workloads.images.scoring import ImageBatch
from energybench.workloads.images.weights.lookup import PretrainedModel, pretrained


@dataclass(frozen=True, eq=False)
class ImageClassification:
    """The `PretrainedTask` of classifying the images of `data` with the network `spec`.

    The loss is cross-entropy in nats, the metric accuracy, the outcome of an image its predicted
    class.
    """

    data: ImageData
    spec: ModelSpec
    given_weights: str | None
    """Checkpoint file or folder (`RunConfig.weights`); None for the default weights."""
    device: torch.device
    """The device that missing weights are pretrained on."""
    name: ClassVar[str] = "image classification"
    metric: ClassVar[Metric] = ACCURACY
    item: ClassVar[str] = "image"

    @classmethod
    def named(cls, model: str, data: ImageData, weights: str | None, device: torch.device) -> Self:
        """Make the task of the registered network `model`; raises `UsageError` if unknown."""
        return cls(data, find_model(model), weights, device)

    @property
    def image_size(self) -> int:
        """Pixels per side at which the network sees the images."""
        return self.spec.pixels(self.data.photographs)

    @property
    def weights(self) -> PretrainedModel:
        """The pretrained weights; raises `UsageError` if `given_weights` are not found."""
        return pretrained(self.spec, self.data, self.given_weights, self.device)

    @property
    def head(self) -> str:
        """Qualified name of the last linear layer."""
        return self.spec.head

    def model(self, seed: int) -> nn.Module:
        """Return the pretrained network, on the CPU; `seed` initializes a head of another size."""
        model, _ = self.weights.load(torch.device("cpu"), seed)
        return model

    def batches(self, split: Split, batch_size: int, seed: int, share: Share = (0, 1)) -> Batches:
        """Return one split at the network's image size, see `ImageData.batches`."""
        return self.data.batches(split, self.image_size, batch_size, seed, share)

    def loss(self, forward: Forward, batch: ImageBatch) -> tuple[Tensor, int]:
        """Return the mean cross-entropy, (), and the number of images."""
        return scoring.training_loss(forward, batch)

    def answer(self, model: nn.Module, batch: ImageBatch) -> Tensor:
        """Return the logits of the batch's images, (batch, classes)."""
        logits: Tensor = model(batch[0])
        return logits

    def evaluate(self, model: nn.Module, batch: ImageBatch) -> Scores:
        """Return summed cross-entropy, correct predictions, and predicted classes."""
        return scoring.scores(model, batch)

    def metric_value(self, mean: float) -> float:
        """Return the accuracy, which is the mean of correct predictions itself."""
        return mean

    def synthetic(
        self,
        batch_size: int,
        device: torch.device,
        image_size: int | None = None,
        classes: int | None = None,
    ) -> ImageBatch:
        """Return random images and labels; size and classes are the task's where None."""
        return scoring.random_images(
            batch_size, image_size or self.image_size, classes or self.data.classes, device
        )

    def facts(self) -> Mapping[str, Any]:
        """Return the number of classes, the image size, and how images are served."""
        size = self.image_size
        return {"classes": self.data.classes, "image_size": size, **self.data.served(size)}
