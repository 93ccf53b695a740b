"""Why a cell stopped training: at its earliest possible epoch, or at the cap on epochs."""

from energybench.records.record import RunRecord
from energybench.registry import BASELINE

_EARLY_STOPPING = "early-stopping"


def at_floor(record: RunRecord) -> bool:
    """Return whether early stopping ended `record` at its earliest possible epoch, patience + 1.

    The first epoch always counts as an improvement, so no cell stops sooner. A baseline at the
    floor leaves a method no epochs to save: its ratio can neither confirm nor refute such a saving.
    """
    patience = record.protocol.patience
    if patience is None or not _stops_early(record) or capped(record):
        return False
    return len(record.epochs) == patience + 1


def capped(record: RunRecord) -> bool:
    """Return whether the cap on epochs ended `record` where early stopping should have decided."""
    most = record.protocol.max_epochs
    return most is not None and _stops_early(record) and len(record.epochs) >= most


def _stops_early(record: RunRecord) -> bool:
    """Return whether early stopping decides; of a baseline it does whatever the others' budget."""
    return record.protocol.budget == _EARLY_STOPPING or record.method == BASELINE
