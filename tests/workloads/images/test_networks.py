"""One contract for every registered model."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from energybench.registry import MODELS, image_models
from energybench.workloads.images.vision import torchvision


@pytest.mark.parametrize("name", image_models())
def test_full_size_as_published(name: str) -> None:
    spec = MODELS.get(name)
    published = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta["num_params"]
    with torch.device("meta"):
        model = spec.build(1000)
        if name == "inception_v3":  # published with its auxiliary classifier
            whole = torchvision.models.inception_v3(init_weights=False)
            published -= sum(p.numel() for p in whole.AuxLogits.parameters())
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == spec.parameters == published


@pytest.mark.parametrize("name", image_models())
def test_one_training_step_at_the_smallest_image_size(name: str) -> None:
    spec = MODELS.get(name)
    model = spec.build(10).train()
    images = torch.randn(2, 3, spec.small_image_size, spec.small_image_size)
    logits = model(images)
    assert logits.shape == (2, 10)
    before = model.get_submodule(spec.head).weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    cross_entropy(logits, torch.tensor([1, 2])).backward()
    optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not torch.equal(model.get_submodule(spec.head).weight, before)
