"""The nine files that torchvision publishes load.

`published/` has the names and shapes of their entries. They are those of torchvision's networks,
with the differences that the files are known for: none has `num_batches_tracked`, densenet121's
names have a dot in `norm.1`, inception_v3 has its auxiliary head, and densenet121's and vgg16's are
no ZIP. The sizes that torchvision gives for the files agree.
"""

import math
from pathlib import Path

import pytest
import torch
from support.published import layout, undrawn, write_as_published

from energybench.workloads.images.vision import torchvision
from energybench.workloads.images.weights.lookup import PretrainedModel

PUBLISHED = Path(__file__).parent / "published"
MODELS = {
    "alexnet": "alexnet-owt-7be5be79",
    "resnet18": "resnet18-f37072fd",
    "resnet34": "resnet34-b627a593",
    "resnet50": "resnet50-0676ba61",
    "resnet101": "resnet101-63fe2227",
    "inception_v3": "inception_v3_google-0cc3c7bd",
    "densenet121": "densenet121-a639ec97",
    "vgg16": "vgg16-397923af",
    "convnext_base": "convnext_base-6075fbad",
}
BYTES_PER_ENTRY = 600
"""Name, shape and padding of an entry, at most."""


@pytest.mark.parametrize("model", MODELS)
def test_it_loads_from_where_torch_hub_looks(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = PUBLISHED / f"{MODELS[model]}.txt"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    write_as_published(file, tmp_path / "hub" / "checkpoints" / f"{MODELS[model]}.pth", 0.5)
    weights = PretrainedModel(undrawn(model), 1000, True, "torchvision IMAGENET1K_V1")
    network, facts = weights.load(torch.device("cpu"))
    assert facts == {"source": "torchvision IMAGENET1K_V1", "head_replaced": False}
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            assert [float(bound) for bound in value.aminmax()] == [0.5, 0.5], name


@pytest.mark.parametrize("model", MODELS)
def test_its_layout_is_as_large_as_the_published_file(model: str) -> None:
    file = PUBLISHED / f"{MODELS[model]}.txt"
    weights = torchvision.models.get_model_weights(model).IMAGENET1K_V1
    assert weights.url.endswith(f"/{MODELS[model]}.pth")
    entries = layout(file)
    shapes = {name: shape for name, shape in entries.items() if "running_" not in name}
    assert sum(map(math.prod, shapes.values())) == weights.meta["num_params"]
    more = weights.meta["_file_size"] * 2**20 - 4 * sum(map(math.prod, entries.values()))
    assert 0 < more / len(entries) < BYTES_PER_ENTRY


def test_a_file_with_the_names_and_counters_of_today_loads_too(tmp_path: Path) -> None:
    spec = undrawn("densenet121")
    state = spec.build(1000).state_dict()
    for value in state.values():
        value.fill_(1)
    path = tmp_path / "densenet121.pth"
    torch.save(state, path)
    _, facts = PretrainedModel(spec, 1000, True, str(path), path).load(torch.device("cpu"))
    assert facts["head_replaced"] is False


def test_the_old_names_behind_a_wrapper_load_too(tmp_path: Path) -> None:
    state = write_as_published(PUBLISHED / f"{MODELS['densenet121']}.txt", tmp_path / "x.pth", 0.5)
    path = tmp_path / "densenet121.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    weights = PretrainedModel(undrawn("densenet121"), 7, True, str(path), path)
    _, facts = weights.load(torch.device("cpu"))
    assert facts["head_replaced"] is True
