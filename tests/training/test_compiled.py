import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.scores import by_accuracy
from support.tiny_training import CPU, network, plan, state
from torch import Tensor, nn

from energybench.compression.base import Baseline
from energybench.compression.compose import build
from energybench.errors import CellError, UsageError
from energybench.training.calibrate import calibrate
from energybench.training.compiled import check_compiler, compiled
from energybench.training.finetune import finetune

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are captured and differentiated as always; no code is generated from them."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


@pytest.mark.usefixtures("quick")
def test_nothing_is_compiled_any_more_while_training() -> None:
    """Also where the last batch of an evaluation is smaller, and however often cells follow."""
    for _ in range(2):
        model = network()
        forward = compiled(model, Baseline(), ["fp32"], plan())
        with torch.compiler.set_stance("fail_on_recompile"):
            epochs = finetune(model, Baseline(), plan(forward=forward))
        expected = finetune(network(), Baseline(), plan())
        assert [one.steps for one in epochs] == [one.steps for one in expected]
        assert all(0.0 < one.train_loss < 3.0 for one in epochs)


class Wrapped(nn.Module):
    """A network that, other than a Sequential, has no length."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inner(images)
        return logits


@pytest.mark.usefixtures("quick")
def test_any_module_can_be_compiled() -> None:
    model = Wrapped()
    names = list(model.state_dict())
    forward = compiled(model, Baseline(), ["fp32"], plan())
    assert len(finetune(model, Baseline(), plan(forward=forward))) == 5
    assert list(model.state_dict()) == names


@pytest.mark.usefixtures("quick")
def test_every_arithmetic_that_may_be_chosen_is_compiled() -> None:
    model = network()
    forward = compiled(model, Baseline(), ["bf16", "fp32"], plan())
    with torch.compiler.set_stance("fail_on_recompile"):
        found = calibrate(model, Baseline(), ["bf16", "fp32"], plan(forward=forward))
    assert set(found.candidates) == {"bf16", "fp32"}


@pytest.mark.usefixtures("quick")
def test_without_randomness_it_learns_what_the_model_learns() -> None:
    def still(model: nn.Module) -> nn.Module:
        model.get_submodule("6").p = 0.0  # type: ignore[assignment]
        return model

    model, stego = still(network()), build("stego")
    stego.compress(model, by_accuracy(lambda now: 0.9), 1.0)
    expected, its_stego = still(network()), build("stego")
    its_stego.compress(expected, by_accuracy(lambda now: 0.9), 1.0)
    forward = compiled(model, stego, ["fp32"], plan())
    losses = [epoch.train_loss for epoch in finetune(model, stego, plan(forward=forward))]
    plain = [epoch.train_loss for epoch in finetune(expected, its_stego, plan())]
    assert losses == pytest.approx(plain, rel=1e-3)


@pytest.mark.usefixtures("quick")
def test_nothing_is_left_of_the_warm_up() -> None:
    model = network().eval()
    before, random = state(model), torch.get_rng_state()
    compiled(model, Baseline(), ["fp32"], plan())
    assert state(model) == before, "values and names"
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(part.training for part in model.modules())


def test_what_cannot_be_compiled_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no kernel for that\nand a long story")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    with pytest.raises(CellError, match=r"no kernel for that.*without compile") as caught:
        compiled(network(), Baseline(), ["fp32"], plan())
    assert "\n" not in str(caught.value)


def test_errors_of_training_stay_what_they_are(quick: None) -> None:
    class Full(Baseline):
        def after_step(self, model: nn.Module) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        compiled(network(), Full(), ["fp32"], plan())


def test_without_a_compiler_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torch._inductor import config

    torch.compiler.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with (
        config.patch({"cpp.cxx": (None, str(tmp_path / "none"))}),
        pytest.raises(UsageError, match=r"install a C\+\+ compiler") as caught,
    ):
        check_compiler(CPU)
    assert "\n" not in str(caught.value)


@needs_compiler
def test_every_cell_compiles_for_itself() -> None:
    """Or the first would pay for the others."""
    from torch._dynamo.utils import counters

    for _ in range(2):
        counters.clear()
        layer = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
        layer(next(iter(plan().train))[0])
        compiled(layer, Baseline(), ["fp32"], plan())
        assert counters["stats"]["unique_graphs"] == 1
        assert not [name for name in counters["inductor"] if name.endswith("cache_hit")]


@needs_compiler
def test_for_real() -> None:
    check_compiler(CPU)
    model = network()
    run = replace(plan(), config=replace(plan().config, max_epochs=1))
    forward = compiled(model, Baseline(), ["fp32"], run)
    with torch.compiler.set_stance("fail_on_recompile"):
        (epoch,) = finetune(model, Baseline(), replace(run, forward=forward))
    assert 0.0 < epoch.train_loss < 3.0
