"""Image classification as a task."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from energybench.errors import UsageError
from energybench.records.metric import ACCURACY
from energybench.workloads.base import PretrainedTask
from energybench.workloads.images.data.digits import Digits
from energybench.workloads.images.task import ImageClassification

CPU = torch.device("cpu")
DATA = Digits()


@pytest.fixture
def task() -> ImageClassification:
    return DATA.task("resnet18", None, CPU)


class FirstPixels(nn.Module):
    """Images -> ten logits, the first ten values of each image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :10].clone()


def test_it_is_a_pretrained_task(task: ImageClassification) -> None:
    found: PretrainedTask = task
    assert (found.metric, found.item, found.head) == (ACCURACY, "image", "fc")
    assert found.facts() == {"classes": 10, "image_size": 32}


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(UsageError, match="unknown model 'resnet17'; did you mean"):
        DATA.task("resnet17", None, CPU)


def test_batches_are_the_splits_at_the_networks_image_size() -> None:
    task = DATA.task("alexnet", None, CPU)
    (images, labels), *_ = task.batches("validation", 50, 0)
    expected, classes = next(iter(DATA.batches("validation", 64, 50, 0)))
    assert torch.equal(images, expected)
    assert torch.equal(labels, classes)


def test_the_loss_is_the_mean_cross_entropy(task: ImageClassification) -> None:
    images, labels = next(iter(task.batches("train", 20, 0)))
    loss, items = task.loss(FirstPixels(), (images, labels))
    assert items == 20
    assert torch.equal(loss, cross_entropy(FirstPixels()(images), labels))


def test_scores_are_sums_over_the_batch(task: ImageClassification) -> None:
    labels = torch.tensor([3, 1, 2])
    images = torch.zeros(3, 3, 2, 2)
    images.flatten(1)[0, 3] = 5.0
    images.flatten(1)[1, 1] = 5.0
    images.flatten(1)[2, 9] = 5.0
    found = task.evaluate(FirstPixels(), (images, labels))
    assert found.outcomes.tolist() == [3, 1, 9]
    assert found.metric.item() == 2
    logits = FirstPixels()(images)
    assert torch.equal(found.loss, cross_entropy(logits, labels, reduction="sum"))
    assert task.metric_value(2 / 3) == 2 / 3


def test_synthetic_batches_have_the_tasks_shapes_or_others(task: ImageClassification) -> None:
    torch.manual_seed(0)
    images, labels = task.synthetic(200, CPU)
    assert images.shape == (200, 3, 32, 32)
    assert set(labels.tolist()) == set(range(10))
    images, labels = task.synthetic(200, CPU, image_size=8, classes=1000)
    assert images.shape == (200, 3, 8, 8)
    assert 500 < labels.max() < 1000
