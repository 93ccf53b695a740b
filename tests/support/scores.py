"""Scores for searches, of functions that a test writes."""

from collections.abc import Callable

from torch import nn

from energybench.compression.base import Score
from energybench.records.metric import ACCURACY


def by_accuracy(measure: Callable[[nn.Module], float]) -> Score:
    """The score whose values, 0..1, are taken for accuracies; also a decorator."""
    return Score(measure, ACCURACY)
