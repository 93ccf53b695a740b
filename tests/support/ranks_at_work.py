"""What ranks do in tests: importable, because they are processes of their own."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from energybench.compression.base import Baseline, trains_freely
from energybench.compression.compose import compress
from energybench.compression.prune import Prune
from energybench.config import DataConfig, FinetuneConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.records.record import EpochRecord
from energybench.training.distributed.group import Group
from energybench.training.evaluate import evaluate
from energybench.training.finetune import finetune
from energybench.training.plan import Finetuning
from energybench.workloads.base import Split
from energybench.workloads.language.texts import open_text
from energybench.workloads.order import slice_of
from support.scores import by_accuracy
from support.tiny_training import CPU, DATA, TASK, NextLetter, window


def without_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 32), nn.ReLU(),
        nn.Linear(32, 10),
    )  # fmt: skip


def with_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 32), nn.BatchNorm1d(32, momentum=None), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


class Double(nn.Module):
    """A network in float64, where rounding is too small to grow into another course of losses."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.network(images.double())
        return found


def plan(group: Group, train: Any, validation: Any, precision: str, epochs: int) -> Finetuning:
    return Finetuning(
        task=TASK,
        train=train,
        validation=validation,
        config=FinetuneConfig(max_epochs=epochs, batch_size=64, learning_rate=0.05),
        seed=0,
        device=CPU,
        precision=precision,
        window=window,
        watch=lambda epoch: None,
        group=group,
    )


def course(
    group: Group, build: Any, precision: str = "fp32", shard: bool = False
) -> tuple[list[EpochRecord], list[int], dict[str, Tensor]]:
    """Fine-tune on digits for three epochs; the epochs, test predictions and weights."""
    model = build()

    def batches(split: Any) -> Any:
        return DATA.batches(split, 8, 64, 0, group.share)

    run = plan(group, batches("train"), batches("validation"), precision, 3)
    records = finetune(model, Baseline(), replace(run, shard=shard))
    test = evaluate(model, TASK, batches("test"), CPU, group=group)
    return records, test.outcomes.tolist(), model.state_dict()


def steps(group: Group, name: str) -> tuple[float, float, list[Tensor]]:
    """Train a network of the matrix on noise, without chance in it; its losses and buffers."""
    from energybench.registry import MODELS

    torch.manual_seed(0)
    spec = MODELS.get(name)
    model = Double(spec.build(10))
    for part in model.modules():
        if isinstance(part, nn.Dropout) or type(part).__name__ == "StochasticDepth":
            part.p = 0.0  # type: ignore[assignment]
    generator = torch.Generator().manual_seed(1)
    pixels = spec.small_image_size
    images, labels = torch.randn(8, 3, pixels, pixels, generator=generator), torch.arange(8)
    share = slice_of(8, group.share)
    batch = images[share], labels[share]
    (epoch,) = finetune(model, Baseline(), plan(group, [batch] * 2, [batch], "fp32", 1))
    return epoch.train_loss, epoch.validation_loss, list(model.buffers())


def letters(group: Group) -> tuple[list[tuple[float, float]], list[tuple[int, bool]]]:
    """Fine-tune a task that is not of images; losses by epoch, outcomes and whether right."""
    task = NextLetter()
    model = task.model(0)
    train = [own(batch, group) for batch in task.batches("train", 16, 0)]
    validation = task.batches("validation", 16, 1, group.share)
    epochs = finetune(
        model,
        Baseline(),
        replace(plan(group, train, validation, "fp32", 3), task=task),
    )
    test = evaluate(model, task, task.batches("test", 16, 2, group.share), CPU, group=group)
    assert test.right is not None
    answers = list(zip(test.outcomes.tolist(), test.right.tolist(), strict=True))
    return [(one.train_loss, one.validation_loss) for one in epochs], answers


def own(batch: Any, group: Group) -> Any:
    """This rank's slice of a batch of letters."""
    mine = slice_of(len(batch["letters"]), group.share)
    return {
        "letters": batch["letters"][mine],
        "targets": {"next": batch["targets"]["next"][mine]},
    }


def sentences(
    group: Group, text: str, folder: str, method: str, shard: bool = True
) -> tuple[list[tuple[float, float]], dict[str, Tensor], float]:
    """Fine-tune the language model in `folder` on `text` by `method`.

    Return the losses, the weights at the end, and this rank's share of all weights meanwhile.
    """
    data = open_text(text).prepare((), CPU, DataConfig(block_length=16), Progress(None), print)
    task = data.task(f"hf:{folder}", None, CPU)
    model = task.model(0).double()  # as `Double` says
    compression, _ = compress(model, method, by_accuracy(lambda network: 1.0), 100.0)
    held: list[float] = []

    class Watched(Baseline):
        name = method
        trains_freely = trains_freely(compression)

        def after_step(self, trained: nn.Module) -> None:
            compression.after_step(trained)
            parts = [getattr(one, "_local_tensor", one) for one in trained.parameters()]
            whole = sum(one.numel() for one in trained.parameters())
            held.append(sum(part.numel() for part in parts) / whole)

    def batches(split: Split) -> Any:
        return task.batches(split, 4, 0, group.share)

    run = plan(group, batches("train"), batches("validation"), "fp32", 2)
    epochs = finetune(model, Watched(), replace(run, task=task, shard=shard))
    compression.finalize(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return [(one.train_loss, one.validation_loss) for one in epochs], weights, held[-1]


def slow_images(group: Group) -> float | None:
    """Fine-tune where only the second rank waits for its images; the share of waiting."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(2):
            time.sleep(0.3 * group.rank)
            yield torch.zeros(4, 3, 8, 8), torch.arange(4)

    few = [(torch.zeros(4, 3, 8, 8), torch.arange(4))]
    run = plan(group, batches(), few, "fp32", 1)
    (epoch,) = finetune(without_batch_norm(), Baseline(), run)
    return epoch.data_wait_share


def modules_after(group: Group) -> list[str]:
    model = with_batch_norm()
    with group.data_parallel(model):
        model.eval()
    return [type(part).__name__ for part in model.modules() if not part.training]


def evaluated(group: Group, count: int) -> list[int]:
    """The outcomes of a network that answers with the place of the largest pixel."""
    images, labels = torch.eye(4)[:count], torch.arange(count)
    network = nn.Linear(4, 10, bias=False)
    nn.init.eye_(network.weight)
    share = slice_of(count, group.share)
    batches = [(images[share], labels[share])] if len(labels[share]) else []
    found = evaluate(network, TASK, batches, CPU, group=group)
    assert (found.items, found.value) == (count, 1.0)
    answers: list[int] = found.outcomes.tolist()
    return answers


def unified(group: Group, differs: bool) -> tuple[float, float, bool]:
    torch.manual_seed(group.rank if differs else 0)
    model, method = nn.Linear(64, 8), Prune()
    method.compress(model, by_accuracy(lambda network: 1.0), 100.0)
    chosen, held = group.broadcast_unless_equal((model, method), model)
    held.after_step(chosen)
    with torch.no_grad():
        zeros = (chosen.weight == 0).double().mean().item()
        return chosen.weight.double().sum().item(), zeros, chosen is model


def told(group: Group) -> list[str | None]:
    """How cells end: well, badly for all, badly for one."""
    ends = [group.first_failure(None), group.first_failure("diverged")]
    ends.append(group.first_failure("a bad image" if group.rank == 1 else None))
    assert not group.broken
    error = "torn"
    if group.rank == 0:
        try:
            group.barrier()
        except RuntimeError as lost:
            error = str(lost)
    ends += [group.first_failure(error), "broken" if group.broken else ""]
    group.close()
    return ends


def refused(group: Group) -> str:
    def work() -> None:
        if group.rank == 1:
            raise UsageError("no such folder")

    try:
        group.run_on_all(work)
    except UsageError as error:
        return str(error)
    return "nothing"


def several(group: Group, works: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """One after another: functions of this module with their arguments, by name."""
    return {name: work(group, *arguments) for name, (work, *arguments) in works.items()}
