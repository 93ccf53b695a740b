import copy
import io
from pathlib import Path

import pytest
import torch
from support.tiny_training import CPU, compressed, network, plan
from torch import nn

from energybench.compression.base import Baseline
from energybench.registry import METHODS
from energybench.training.course import Course
from energybench.training.finetune import finetune
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.workloads.weights.cache import read_facts, save

CUDA = torch.device("cuda", 0)
COMPOSED = "lowrank+prune+stego"


def filters(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.dim() == 4]


def channels_last(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("fp32", CPU, "contiguous"),
        ("bf16", CPU, "contiguous"),
        ("fp32", CUDA, "contiguous"),
        ("tf32", CUDA, "channels_last"),
        ("bf16", CUDA, "channels_last"),
    ],
)
def test_auto_goes_by_the_arithmetic(precision: str, device: torch.device, expected: str) -> None:
    assert memory_format("auto", precision, device) == expected
    for asked in ("contiguous", "channels_last"):
        assert memory_format(asked, precision, device) == asked


def test_tensors_stay_themselves_and_activations_follow() -> None:
    model = network()
    before = list(model.parameters())
    values = [parameter.detach().clone() for parameter in before]
    lay_out(model.parameters(), "channels_last")
    assert all(one is other for one, other in zip(model.parameters(), before, strict=True))
    assert all(torch.equal(one, value) for one, value in zip(before, values, strict=True))
    assert all(channels_last(weight) for weight in filters(model))
    assert channels_last(model.get_submodule("0")(torch.randn(4, 3, 8, 8)))
    lay_out(model.parameters(), "contiguous")
    assert all(weight.is_contiguous() for weight in filters(model))


@pytest.mark.parametrize("method", [*METHODS.names(), COMPOSED])
def test_what_is_held_follows_the_weights(method: str) -> None:
    """Laid out anew between steps, the constraint is held alike, bit by bit."""
    plain, compression = compressed(method)
    other, its_compression = copy.deepcopy((plain, compression))
    draw = torch.Generator().manual_seed(0)
    for name in ("channels_last", "channels_last", "contiguous"):
        lay_out(other.parameters(), name)
        with torch.no_grad():
            for one, two in zip(plain.parameters(), other.parameters(), strict=True):
                noise = 0.01 * torch.randn(one.shape, generator=draw)
                one.add_(noise)
                two.add_(noise)
        compression.after_step(plain)
        its_compression.after_step(other)
        for one, two in zip(plain.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, two)
    compression.finalize(plain)
    its_compression.finalize(other)
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_training_is_the_same_but_for_rounding() -> None:
    plain, other = network(), network()
    lay_out(other.parameters(), "channels_last")
    losses = [
        [epoch.train_loss for epoch in finetune(model, Baseline(), plan())]
        for model in (plain, other)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert all(channels_last(weight) for weight in filters(other))


def new_course(model: nn.Module) -> Course:
    config = plan().config
    return Course(model, Baseline(), sgd(model, config), config, CPU)


def test_a_saved_course_comes_back_in_its_memory_format() -> None:
    model = network()
    lay_out(model.parameters(), "channels_last")
    course = new_course(model)
    train_pass(model, Baseline(), course.optimizer, plan())
    disk = io.BytesIO()
    torch.save(course.state_dict(), disk)
    disk.seek(0)
    again = network()
    lay_out(again.parameters(), "channels_last")
    resumed = new_course(again)
    resumed.load_state_dict(torch.load(disk, weights_only=True), [])
    states = resumed.optimizer.state.items()
    assert states
    assert all(state["momentum_buffer"].stride() == weight.stride() for weight, state in states)
    train_pass(again, Baseline(), resumed.optimizer, plan())


def test_weights_in_any_memory_format_can_be_saved(tmp_path: Path) -> None:
    model = network()
    lay_out(model.parameters(), "channels_last")
    path = tmp_path / "weights.safetensors"
    save(path, model, {"key": "k"})
    assert read_facts(path) == {"key": "k"}
