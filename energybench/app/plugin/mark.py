"""The mark `energy_matrix`: the cells that a test runs for."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from energybench.errors import UsageError

MATRIX_MARK = "energy_matrix"
_NVIDIA = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Files of NVIDIA's driver, on Linux and in WSL."""
_USE = f'write @pytest.mark.{MATRIX_MARK}(models=["resnet18"], methods=["baseline", "stego"])'


@dataclass(frozen=True)
class Matrix:
    """The arguments of one mark."""

    models: Sequence[str]
    methods: Sequence[str]
    tolerances: Sequence[float] | None = None
    gpu_methods: Sequence[str] = ()
    """Methods beside `methods` on a machine that trains on an NVIDIA GPU, such as `baseline-tf32`:
    controls of an arithmetic that a CPU lacks or does not gain by."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Option -> its default in a session with this mark, such as {"dataset": "text"}."""

    def methods_on(self, device: str) -> tuple[str, ...]:
        """Return the methods to run by default for the option `device`."""
        return (*self.methods, *(self.gpu_methods if _has_gpu(device) else ()))


def read_mark(mark: pytest.Mark) -> Matrix:
    """Return the arguments of `mark`; raises `UsageError` for a missing, unknown or wrong one."""
    try:
        matrix = Matrix(*mark.args, **mark.kwargs)
    except TypeError as error:
        known = "models, methods, tolerances, gpu_methods and options"
        reason = str(error).removeprefix("Matrix.__init__() ")
        raise UsageError(f"{MATRIX_MARK} takes {known} ({reason}); {_USE}") from error
    for name, value in (("models", matrix.models), ("methods", matrix.methods)):
        if not _is_list(value) or not value or not all(isinstance(one, str) for one in value):
            raise UsageError(f"{MATRIX_MARK}: {name} is {value!r}, not a list of names; {_USE}")
    gpu_methods = matrix.gpu_methods
    if not _is_list(gpu_methods) or not all(isinstance(one, str) for one in gpu_methods):
        raise UsageError(
            f"{MATRIX_MARK}: gpu_methods is {gpu_methods!r}, not a list of names; "
            'write for instance gpu_methods=["baseline-tf32"]'
        )
    tolerances = matrix.tolerances
    if tolerances is not None and not (_is_list(tolerances) and all(map(_is_drop, tolerances))):
        raise UsageError(
            f"{MATRIX_MARK}: tolerances is {tolerances!r}, not a list of numbers of at least 0; "
            "write for instance tolerances=[0.5, 1, 2]"
        )
    options = matrix.options
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise UsageError(
            f"{MATRIX_MARK}: options is {options!r}, not names with values; "
            'write for instance options={"dataset": "text", "batch-size": 8}'
        )
    return matrix


def _has_gpu(device: str) -> bool:
    """Guess from the system's files whether `device` is a GPU: collecting imports no torch."""
    if device != "auto":
        return device.startswith("cuda")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(path.exists() for path in _NVIDIA)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_drop(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < math.inf
