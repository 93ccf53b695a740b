"""Time the bits of `stego`: clearing them, searching their number, and holding them in training.

Each ratio compares two actions that take turns within one run. It is printed and kept in the
benchmark's `extra_info`. These benchmarks measure no energy, and none fails for being slow.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from energybench.runs.matrix import PAPER_MODELS


class Pair:
    """Times two actions in turn: `other` runs before each round of `one`."""

    def __init__(self, one: Callable[[], Any], other: Callable[[], Any]) -> None:
        self.results: tuple[Any, Any] = None, None
        self._actions = one, other
        self._seconds: tuple[list[float], list[float]] = [], []

    def measure(self, benchmark: Any, rounds: int, warm_up: int = 0) -> float:
        """Return the median seconds of `one` over those of `other`."""
        for _ in range(warm_up):
            self._time(1)
            self._time(0)
        for seconds in self._seconds:
            seconds.clear()
        benchmark.pedantic(lambda: self._time(0), setup=lambda: self._time(1), rounds=rounds)
        medians = [statistics.median(seconds) for seconds in self._seconds]
        return medians[0] / medians[1]

    def _time(self, which: int) -> None:
        start = time.perf_counter()
        result = self._actions[which]()
        self._seconds[which].append(time.perf_counter() - start)
        self.results = (result, self.results[1]) if which == 0 else (self.results[0], result)


@pytest.fixture(scope="module")
def digits() -> Any:
    """Return the embedded data set."""
    from energybench.workloads.images.data.digits import Digits

    return Digits()


@pytest.fixture
def load(digits: Any) -> Callable[[str], tuple[Any, Callable[[Any], float]]]:
    """Return a function: name -> (network pretrained on digits, function of its accuracy)."""
    import torch

    from energybench.compression.base import Score
    from energybench.records.metric import ACCURACY
    from energybench.training.evaluate import evaluate

    def pretrained_model(name: str) -> tuple[Any, Callable[[Any], float]]:
        device = torch.device("cpu")
        task = digits.task(name, None, device)
        validation = task.batches("validation", 64, 0)

        def accuracy(model: Any) -> float:
            return evaluate(model, task, validation, device).value

        return task.model(0), Score(accuracy, ACCURACY)

    return pretrained_model


@pytest.mark.parametrize("rounding", ["truncate", "nearest"])
def test_clearing_bits_of_138_million_weights(benchmark, tell, rounding):
    """Compare clearing 16 bits of vgg16, checks included, with a pass that changes nothing."""
    import torch

    from energybench.compression.stego import clear_low_bits
    from energybench.compression.weights import covered_weights
    from energybench.workloads.images.vision import torchvision

    with torch.device("meta"):
        shapes = [w.shape for w in covered_weights(torchvision.models.vgg16()).values()]
    weights = [torch.empty(shape).uniform_(-1.0, 1.0) for shape in shapes]
    assert sum(weight.numel() for weight in weights) > 138_000_000

    def clear() -> None:
        for weight in weights:
            clear_low_bits(weight, 16, rounding=rounding)

    def one_pass() -> None:
        for weight in weights:
            weight.add_(0)

    ratio = Pair(clear, one_pass).measure(benchmark, rounds=9, warm_up=1)
    assert torch.equal(weights[0].bfloat16().float(), weights[0])
    tell(clear_over_one_pass=ratio)


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_bisection_and_sweep_of_capacity(benchmark, tell, load, model):
    """Find the same capacity of a pretrained network twice: by 7 evaluations, and by 32."""
    from energybench.compression.stego import capacity

    network, score = load(model)
    score(network)
    pair = Pair(
        lambda: capacity(network, score, 1.0),
        lambda: capacity(network, score, 1.0, strategy="sweep"),
    )
    ratio = pair.measure(benchmark, rounds=1)
    bisected, swept = pair.results
    assert bisected.bits == swept.bits
    assert set(bisected.curve) <= set(swept.curve)
    tell(
        sweep_over_bisect=1.0 / ratio,
        bits=bisected.bits,
        evaluations=bisected.evaluations,
        monotone=str(swept.monotone),
    )


@pytest.mark.parametrize(("image_size", "rounds"), [(32, 30), (224, 3)], ids=["digits", "photos"])
def test_holding_bits_in_training(benchmark, tell, load, image_size, rounds):
    """Compare `after_step` with the training step of resnet18 before it, 32 images."""
    import torch

    from energybench.compression.stego import Stego

    network, score = load("resnet18")
    stego = Stego()
    assert not stego.compress(network, score, 1.0).no_effect
    images, labels = torch.randn(32, 3, image_size, image_size), torch.arange(32) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=True)
    network.train()

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    ratio = Pair(lambda: stego.after_step(network), step).measure(benchmark, rounds, warm_up=2)
    stego.finalize(network)
    tell(after_step_over_step=ratio)
