"""Time the training loop beside a plain one and timm's, and a cell beside its phases.

    pytest -s benchmarks/test_instruments_step.py
    tox run -e peers                                 # with timm

Goals: at least 0.98 x the images/s of a plain, well-written loop, and at least those of timm's; at
most 2 % of a one-minute cell outside its phases. The loops take turns step by step within one run,
each on a network of its own and on tensors in memory, because steps vary by a tenth and more on a
shared machine. A goal is missed when the 95 % interval of the ratio is below it.
"""

import time
from dataclasses import asdict, replace

import pytest

BATCH, PIXELS, ROUNDS = 64, 32, 80
GOALS = {"plain": 0.98, "timm": 1.0}
EPOCHS = 8
"""Epochs of the cell whose overhead is measured: about a minute on two cores."""


def network(name: str):
    """Build a new network; each call gives the same weights."""
    import torch

    from energybench.registry import MODELS

    torch.manual_seed(0)
    return MODELS.get(name).build(10)


def our_loop(name: str, batches, config):
    """Return energybench's pass over the batches."""
    import torch

    from energybench.compression.base import Baseline
    from energybench.training.passes import sgd, train_pass
    from energybench.training.plan import Finetuning
    from energybench.workloads.images.data.digits import Digits

    model, compression = network(name), Baseline()
    cpu = torch.device("cpu")
    task = Digits().task(name, None, cpu)
    run = Finetuning(task, batches, [], config, 0, cpu, "fp32", lambda: None, lambda epoch: None)
    optimizer = sgd(model, config)
    return lambda: train_pass(model, compression, optimizer, run).loss.item()


def plain_loop(name: str, batches, config):
    """Return a plain PyTorch loop, written by hand and well."""
    import torch
    from torch.nn.functional import cross_entropy

    model = network(name).train()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )

    def loop() -> float:
        total = torch.zeros(())
        for images, labels in batches:
            loss = cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return total.item()

    return loop


def their_loop(name: str, batches, config):
    """Return timm's training loop."""
    from contextlib import nullcontext

    from support.timm_loop import timm_loop

    train = timm_loop(network(name), config, "contiguous")
    return lambda: train(batches, nullcontext())


@pytest.mark.parametrize("peer", ["plain", "timm"])
@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_throughput_beside(model, peer, benchmark):
    """Compare images/s, ours over theirs: the mean of rounds in which both take a step."""
    import torch

    from energybench.config import FinetuneConfig
    from energybench.report.stats import ratios

    config = FinetuneConfig(learning_rate=0.0)  # the work is the same, and the weights stay
    batches = [(torch.randn(BATCH, 3, PIXELS, PIXELS), torch.arange(BATCH) % 10)]
    try:
        theirs = (plain_loop if peer == "plain" else their_loop)(model, batches, config)
    except ImportError:
        pytest.skip("timm is not installed: tox run -e peers")
    ours = our_loop(model, batches, config)
    pairs = []

    def seconds(loop) -> float:
        start = time.perf_counter()
        loop()
        return time.perf_counter() - start

    def both() -> None:
        if len(pairs) % 2:
            own = seconds(ours)
            pairs.append((seconds(theirs), own))
        else:
            pairs.append((seconds(theirs), seconds(ours)))

    both()  # memory and kernels are found
    pairs.clear()
    benchmark.pedantic(both, rounds=ROUNDS)
    (ratio,) = ratios([pairs])
    images_per_s = BATCH * len(pairs) / sum(own for _, own in pairs)
    benchmark.extra_info |= {"images_per_s": images_per_s, "over_peer": asdict(ratio), "peer": peer}
    interval = f"[{ratio.low:.3f}, {ratio.high:.3f}]"
    print(f"\n{model}: {images_per_s:.0f} images/s, {ratio.value:.3f} {interval} x {peer}")
    assert ratio.high >= GOALS[peer]


@pytest.mark.energy_matrix(models=["resnet50"], methods=["baseline"])
def test_overhead_of_a_cell(cell, energy_session, benchmark):
    """Measure the share of a cell's time outside its phases."""
    from energybench.runs.executors.base import Job
    from energybench.runs.executors.in_process import InProcess

    own = replace(energy_session.config.finetune, max_epochs=EPOCHS, patience=EPOCHS)
    config = replace(energy_session.config, finetune=own)
    executor = InProcess(energy_session)
    executor.prepare([cell.model])
    records = []

    def run():
        records.append(executor.submit(Job(cell, config, "a key")).result().record)

    start = time.perf_counter()
    benchmark.pedantic(run, rounds=1)
    wall_s = time.perf_counter() - start
    (record,) = records
    assert (record.status, len(record.epochs)) == ("ok", EPOCHS)
    share = 1.0 - sum(phase.duration_s for phase in record.phases.values()) / wall_s
    benchmark.extra_info |= {"wall_s": wall_s, "outside_phases": share}
    print(f"\n{cell}: {wall_s:.1f} s, {100 * share:.2f} % of them outside its phases")
    assert share <= 0.02
