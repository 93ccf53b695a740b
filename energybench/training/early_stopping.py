"""When to stop fine-tuning."""

import math


class EarlyStopping:
    """Stop after `patience` epochs in a row whose loss is not below the best by over `min_delta`.

    The best loss that counts here moves only on such an improvement, as in Keras' EarlyStopping,
    whose words the paper uses.
    """

    def __init__(self, patience: int, min_delta: float) -> None:
        self._patience = patience
        self._min_delta = min_delta
        self._best = math.inf
        self._waited = 0

    def should_stop(self, validation_loss: float) -> bool:
        """Take one epoch's validation loss; True when training is over."""
        if validation_loss < self._best - self._min_delta:
            self._best = validation_loss
            self._waited = 0
        else:
            self._waited += 1
        return self._waited >= self._patience
