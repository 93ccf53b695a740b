"""Training steps through `torch.compile`, compiled before they are measured."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from energybench.compression.base import Compression
from energybench.errors import CellError, UsageError
from energybench.training.plan import Finetuning, Forward
from energybench.training.rehearsal import rehearsal

WARM_UP = 2
"""Steps in each arithmetic: the first compiles, the second may compile once more."""


def check_compiler(device: torch.device) -> None:
    """Raise `UsageError` unless `torch.compile` works on `device`; takes some seconds."""
    from torch._dynamo.exc import TorchDynamoException  # here: takes 3 s

    try:
        torch.compile(_doubled)(torch.ones(8, device=device))
    except TorchDynamoException as error:
        advice = "leave the option out"
        if device.type == "cpu":
            advice = f"install a C++ compiler (g++, or the one that CXX names), or {advice}"
        raise UsageError(f"compile does not work here: {_reason(error)}; {advice}") from error


def compiled(
    model: nn.Module, compression: Compression, precisions: Sequence[str], run: Finetuning
) -> Forward:
    """Return `model` compiled for training steps on batches of the shapes in `run.train`.

    The model is compiled now, once per arithmetic in `precisions`, by steps that are undone (see
    `rehearsal`). The compiled model uses the parameters of `model` itself, whose `state_dict` keeps
    its names. Evaluation stays uncompiled, because its last batch is smaller. Caches of earlier
    cells, in memory or on disk, are not used, so the energy of compiling does not depend on them.
    Raises `CellError` for a model that PyTorch cannot compile.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor import config

    torch.compiler.reset()
    forward: Forward = torch.compile(model, dynamic=False)
    try:
        with (
            config.patch(force_disable_caches=True, layout_optimization=False),
            rehearsal(model, compression, replace(run, forward=forward)) as steps,
        ):
            for precision in precisions:
                steps.train(precision, WARM_UP)
    except TorchDynamoException as error:
        raise CellError(f"torch.compile failed ({_reason(error)}); run without compile") from error
    return forward


def _doubled(tensor: Tensor) -> Tensor:
    return 2 * tensor


def _reason(error: Exception) -> str:
    """Return the first line of the message, or two lines if the first ends in a colon."""
    first, *rest = [*str(error).strip().splitlines(), type(error).__name__]
    return f"{first} {rest[0].strip()}" if first.endswith(":") else first
