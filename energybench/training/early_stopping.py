"""Early stopping on the validation loss, as in Keras."""

import math


class EarlyStopping:
    """Stop after `patience` epochs in a row without an improvement of more than `min_delta`.

    The best loss is updated only on such an improvement, as in Keras' EarlyStopping, whose terms
    the paper uses. A slow descent by less than `min_delta` per epoch therefore counts from the
    last improvement.
    """

    def __init__(self, patience: int, min_delta: float) -> None:
        self._patience = patience
        self._min_delta = min_delta
        self._best = math.inf
        self._waited = 0

    def should_stop(self, validation_loss: float) -> bool:
        """Take one epoch's validation loss and return whether training is over."""
        if validation_loss < self._best - self._min_delta:
            self._best = validation_loss
            self._waited = 0
        else:
            self._waited += 1
        return self._waited >= self._patience
