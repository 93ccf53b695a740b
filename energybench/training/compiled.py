"""Training steps through `torch.compile`, compiled before the window in which they count."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from energybench.compression.base import Compression
from energybench.errors import CellError, UsageError
from energybench.training.plan import Finetuning, Forward
from energybench.training.rehearsal import trial

WARM_UP = 2
"""Steps in each arithmetic: the first compiles, the second finds what that left to be found."""


def check_compiler(device: torch.device) -> None:
    """Raise `UsageError` unless `torch.compile` works on `device`: a trial of some seconds."""
    from torch._dynamo.exc import TorchDynamoException  # here: takes 3 s

    try:
        torch.compile(_doubled)(torch.ones(8, device=device))
    except TorchDynamoException as error:
        advice = "leave the option out"
        if device.type == "cpu":
            advice = f"install a C++ compiler (g++, or the one that CXX names), or {advice}"
        raise UsageError(f"--energy-compile: {_reason(error)}; {advice}") from error


def compiled(
    model: nn.Module, compression: Compression, precisions: Sequence[str], run: Finetuning
) -> Forward:
    """What takes the place of `model` in training steps on batches as those of `run`.

    It is compiled now, for each of `precisions`, by steps of which nothing is left, see `trial`. It
    computes with the parameters of `model`, which stays as it is: its state has no other names, and
    evaluation, whose last batch is smaller, goes on without compilation. Nothing compiled for
    earlier cells is used, in memory or on disk: what compiling takes does not depend on them. The
    memory format stays that of `run`. Raises `CellError` for a model that PyTorch cannot compile.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor import config

    torch.compiler.reset()
    forward: Forward = torch.compile(model, dynamic=False)
    try:
        with (
            config.patch(force_disable_caches=True, layout_optimization=False),
            trial(model, compression, replace(run, forward=forward)) as steps,
        ):
            for precision in precisions:
                steps.train(precision, WARM_UP)
    except TorchDynamoException as error:
        raise CellError(
            f"torch.compile failed ({_reason(error)}); run without --energy-compile"
        ) from error
    return forward


def _doubled(tensor: Tensor) -> Tensor:
    return 2 * tensor


def _reason(error: Exception) -> str:
    """The first line of the message; two where the first only announces the second."""
    first, *rest = [*str(error).strip().splitlines(), type(error).__name__]
    return f"{first} {rest[0].strip()}" if first.endswith(":") else first
