"""Time pruning and factorizing: finding thresholds and ranks, and holding zeros in training.

Each ratio compares two actions that take turns within one run. It is printed and kept in the
benchmark's `extra_info`. These benchmarks measure no energy, and none fails for being slow.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

METHODS = (
    "stego",
    "prune",
    "prune-layerwise",
    "prune-2to4",
    "prune-channels",
    "lowrank",
    "lowrank+prune",
    "prune-channels+prune-2to4",
    "prune+stego",
    "lowrank+prune+stego",
)
BATCH = 32
ROUNDS = {32: 15, 224: 3}
"""Pixels -> rounds: the embedded digits, whose steps are shortest, and photographs."""


def seconds(action: Callable[[], Any]) -> float:
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def test_pruning_threshold(benchmark: Any, tell: Callable[..., None]) -> None:
    """Compare threshold and masks of 60 % of vgg16 with PyTorch's global_unstructured."""
    import torch
    from torch.nn.utils import prune as torch_prune

    from energybench.compression.prune import Magnitudes
    from energybench.compression.weights import covered_weights
    from energybench.workloads.images.networks import vgg16

    torch.manual_seed(0)
    model = vgg16.build(1000)
    weights = [weight.detach() for weight in covered_weights(model).values()]
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    count = round(0.6 * sum(weight.numel() for weight in weights))
    masks: dict[str, list[torch.Tensor]] = {}
    cuts = []

    def ours() -> None:
        cut = Magnitudes(weights, [count]).cut(count)
        targets = [torch.empty_like(weight) for weight in weights]
        cut.zero(zip(targets, weights, strict=True))
        masks["ours"] = [target != 0 for target in targets]
        cuts.append(cut)

    def theirs() -> None:
        torch_prune.global_unstructured(
            [(layer, "weight") for layer in layers],
            pruning_method=torch_prune.L1Unstructured,
            amount=count,
        )

    def unprune() -> None:
        masks["theirs"] = [layer.get_buffer("weight_mask").bool() for layer in layers]
        for layer in layers:
            original = layer.get_parameter("weight_orig")
            torch_prune.remove(layer, "weight")
            layer.weight = original

    def setup() -> None:
        times.append(seconds(theirs))
        unprune()

    times: list[float] = []
    own: list[float] = []
    benchmark.pedantic(lambda: own.append(seconds(ours)), setup=setup, rounds=2)
    threshold = cuts[-1].threshold
    differ = [one != other for one, other in zip(masks["ours"], masks["theirs"], strict=True)]
    tied = [weight.abs() == threshold for weight in weights]
    assert all(bool((d <= t).all()) for d, t in zip(differ, tied, strict=True)), "only ties differ"
    assert all(sum(int((~m).sum()) for m in side) == count for side in masks.values())
    tell(
        ours_s=statistics.median(own),
        torch_s=statistics.median(times),
        times_faster=statistics.median(times) / statistics.median(own),
        masks_differ_at_ties=float(sum(int(d.sum()) for d in differ)),
    )


def test_low_rank_search(benchmark: Any, tell: Callable[..., None]) -> None:
    """Compare all budgets tried on vgg16 with as many fresh SVDs of every layer.

    One pass of `torch.linalg.svd` over all layers is timed, and multiplied by the number of budgets
    tried. Scores cost nothing here.
    """
    import torch

    from energybench.compression.base import Score
    from energybench.compression.lowrank import LowRank
    from energybench.compression.weights import covered_weights, parameter_count
    from energybench.records.metric import ACCURACY
    from energybench.workloads.images.networks import vgg16

    torch.manual_seed(0)
    model = vgg16.build(1000)
    matrices = [weight.detach().flatten(1) for weight in covered_weights(model).values()]
    one_pass = sum(
        seconds(lambda m=matrix: torch.linalg.svd(m, full_matrices=False)) for matrix in matrices
    )
    before = parameter_count(model)
    reports = []

    def search() -> None:
        def half(now: torch.nn.Module) -> float:
            return float(parameter_count(now) > 0.5 * before)

        reports.append(LowRank().compress(model, Score(half, ACCURACY), 1.0))

    own: list[float] = []
    benchmark.pedantic(lambda: own.append(seconds(search)), rounds=1)
    tried = len(reports[0].curve)
    tell(
        search_s=own[0],
        one_svd_pass_s=one_pass,
        budgets_tried=float(tried),
        times_faster_than_fresh_svds=one_pass * tried / own[0],
    )


@pytest.mark.parametrize("pixels", ROUNDS)
@pytest.mark.parametrize("method", METHODS)
def test_after_step(method: str, pixels: int, benchmark: Any, tell: Callable[..., None]) -> None:
    """Measure the time of holding, as a share of a training step of the dense resnet18.

    Holding writes every weight that a method constrains. The yardstick for this memory traffic is a
    pass over the weights that changes nothing (`Tensor.add_(0)`). The goal, 3 % of the step, is for
    photographs; on digits the step is so short that such a pass alone may take 3 %.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from energybench.compression.base import Score
    from energybench.compression.compose import build
    from energybench.compression.weights import covered_weights
    from energybench.records.metric import ACCURACY
    from energybench.workloads.images.networks import resnet18

    torch.manual_seed(0)
    dense, model = resnet18.build(10), resnet18.build(10)
    images, labels = torch.randn(BATCH, 3, pixels, pixels), torch.arange(BATCH) % 10
    optimizer = torch.optim.SGD(
        dense.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True
    )
    calls = 0

    def every_third_fails(now: torch.nn.Module) -> float:
        nonlocal calls
        calls += 1
        with torch.inference_mode():
            now.eval()(images[:2, :, :32, :32])
        return float(calls % 3 != 0)

    compression = build(method)
    report = compression.compress(model, Score(every_third_fails, ACCURACY), 1.0)
    assert report.compression_rate > 0.0
    compression.after_step(model)
    held = [weight.detach() for weight in covered_weights(model).values()]

    def one_pass() -> None:
        for weight in held:
            weight.add_(0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(dense(images), labels).backward()
        optimizer.step()

    steps: list[float] = []
    passes: list[float] = []
    holds: list[float] = []

    def others() -> None:
        steps.append(seconds(step))
        passes.append(seconds(one_pass))
        step()

    benchmark.pedantic(
        lambda: holds.append(seconds(lambda: compression.after_step(model))),
        setup=others,
        rounds=ROUNDS[pixels],
    )
    hold_s, pass_s, step_s = map(statistics.median, (holds, passes, steps))
    tell(
        after_step_ms=1e3 * hold_s,
        step_ms=1e3 * step_s,
        share=hold_s / step_s,
        one_pass_share=pass_s / step_s,
        over_one_pass=hold_s / pass_s,
        threads=str(torch.get_num_threads()),
    )
