"""Early stopping on the validation loss, as in Keras."""

import math


class EarlyStopping:
    """Stop after `patience` epochs in a row without an improvement of more than `min_delta`.

    The best loss moves only on such an improvement, as in Keras' EarlyStopping, whose terms the
    paper uses. So a slow descent is an improvement once it adds up to more than `min_delta`.
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
