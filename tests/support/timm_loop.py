"""timm's training loop, for benchmarks: its optimizer, task and meter in the order of its train.py.

The script is not in timm's wheel, so its loop is written down here for what is compared: no
augmentation, no clipping, no averaged weights, one step per update, its log line left out.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from energybench.config import FinetuneConfig
from energybench.training.memory_format import lay_out

Batches = Iterable[tuple[Tensor, Tensor]]


def timm_loop(
    model: nn.Module, config: FinetuneConfig, memory_format: str, compiled: bool = False
) -> Callable[[Batches, AbstractContextManager[None]], float]:
    """A function that trains `model` on batches in an arithmetic and returns their mean loss.

    SGD with momentum as `config` has it, weight decay on all parameters. `memory_format` is
    `contiguous` or `channels_last`. Raises ImportError where timm is not installed.
    """
    from timm.optim import create_optimizer_v2
    from timm.task import ClassificationTask
    from timm.utils import AverageMeter

    import energybench.workloads.images.vision  # noqa: F401 - timm imports torchvision, which may not load without

    device = next(model.parameters()).device
    lay_out(model.parameters(), memory_format)
    optimizer = create_optimizer_v2(
        model,
        opt="momentum",  # timm's "sgd" is Nesterov's
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        filter_bias_and_bn=False,
    )
    task: Any = ClassificationTask(model, device=device, verbose=False)
    if compiled:
        task.compile()

    def train(batches: Batches, arithmetic: AbstractContextManager[None]) -> float:
        task.train()
        losses = AverageMeter()
        with autotuned(), arithmetic:
            for images, labels in batches:
                if memory_format == "channels_last":
                    images = images.contiguous(memory_format=torch.channels_last)
                loss = task(images, labels)["loss"]
                loss.backward()
                optimizer.step()
                losses.update(loss.item(), images.size(0))
                optimizer.zero_grad()
        return float(losses.avg)

    return train


@contextmanager
def autotuned() -> Iterator[None]:
    """As train.py sets it on CUDA: cuDNN times its algorithms and takes the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
