"""The mark `energy_matrix`: the cells that a test runs for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from energybench.errors import UsageError

MATRIX_MARK = "energy_matrix"
_USE = f'write @pytest.mark.{MATRIX_MARK}(models=["resnet18"], methods=["baseline", "stego"])'


@dataclass(frozen=True)
class Matrix:
    """The arguments of one mark."""

    models: Sequence[str]
    methods: Sequence[str]
    tolerances: Sequence[float] | None = None


def read_mark(mark: pytest.Mark) -> Matrix:
    """Return the arguments of `mark`; raises `UsageError` for a missing, unknown or wrong one."""
    try:
        matrix = Matrix(*mark.args, **mark.kwargs)
    except TypeError as error:
        known = "models, methods and tolerances"
        reason = str(error).removeprefix("Matrix.__init__() ")
        raise UsageError(f"{MATRIX_MARK} takes {known} ({reason}); {_USE}") from error
    for name, value in (("models", matrix.models), ("methods", matrix.methods)):
        if not _is_list(value) or not value or not all(isinstance(one, str) for one in value):
            raise UsageError(f"{MATRIX_MARK}: {name} is {value!r}, not a list of names; {_USE}")
    tolerances = matrix.tolerances
    if tolerances is not None and not (_is_list(tolerances) and all(map(_is_drop, tolerances))):
        raise UsageError(
            f"{MATRIX_MARK}: tolerances is {tolerances!r}, not a list of numbers of at least 0; "
            "write for instance tolerances=[0.5, 1, 2]"
        )
    return matrix


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_drop(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < math.inf
