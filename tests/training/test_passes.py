from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tiny_training import TASK, compressed, network, plan
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from energybench.compression.base import Baseline
from energybench.registry import METHODS
from energybench.training.evaluate import evaluate
from energybench.training.passes import sgd, train_pass

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::masked_select"}
"""What a host does with a tensor only after the device has computed it."""


class NothingWaits(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func.name() not in WAITS, f"{func.name()} waits for the device"
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a copy to the host waits for the device")

    with monkeypatch.context() as patched, NothingWaits():  # type: ignore[no-untyped-call]
        for name in ("cpu", "tolist", "item"):
            patched.setattr(Tensor, name, refuse)
        yield


@pytest.mark.parametrize("method", [*METHODS.names(), "lowrank+prune+stego"])
def test_nothing_in_a_pass_waits_for_the_device(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, compression = compressed(method)
    run = plan()
    run = replace(run, train=list(run.train))
    optimizer = sgd(model, run.config)
    with nothing_waits(monkeypatch):
        done = train_pass(model, compression, optimizer, run)
    assert (done.items, done.steps) == (448, 7)
    assert 0.0 < done.loss.item() / done.items < 10.0


def test_evaluation_waits_at_its_end_only(monkeypatch: pytest.MonkeyPatch) -> None:
    run = plan()
    validation = list(run.validation)
    ended = False

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal ended
        with nothing_waits(monkeypatch):
            yield from validation
        ended = True

    evaluate(network(), TASK, batches(), run.device)
    assert ended


@pytest.mark.parametrize(
    "wait",
    [float, bool, torch.nonzero, lambda loss: loss.item(), lambda loss: loss.cpu()],
)
def test_a_wait_would_be_noticed(
    wait: Callable[[Tensor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match="waits"), nothing_waits(monkeypatch):
        wait(torch.ones(()))


def test_a_compiled_forward_takes_the_models_place() -> None:
    model = network()
    calls: list[int] = []

    def forward(images: Tensor) -> Tensor:
        calls.append(len(images))
        logits: Tensor = model(images)
        return logits

    run = plan(forward=forward)
    train_pass(model, Baseline(), sgd(model, run.config), run)
    assert calls == [64] * 7
