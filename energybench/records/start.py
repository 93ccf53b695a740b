"""The record of a cell before its first training step: epoch 0."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """One network on one split."""

    loss: float
    """Mean loss over the split's items, in the unit of the task's loss."""
    value: float
    """The task's metric over the split."""


@dataclass(frozen=True)
class Start:
    """The network before fine-tuning; evaluated outside the window of fine-tuning."""

    pretrained: Evaluation
    """The pretrained weights on the validation split."""
    compressed: Evaluation
    """The compressed weights on the validation split; of a baseline the same as `pretrained`."""
    test: Evaluation | None = None
    """The compressed weights on the test split; measured last, and used by nothing."""
