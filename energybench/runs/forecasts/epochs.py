"""How many epochs a cell will train: from like cells that have ended, else from the protocol."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from energybench.config import Cell, FinetuneConfig
from energybench.records.forecast import Range
from energybench.records.record import RunRecord

_COURSE = ("learning_rate", "momentum", "weight_decay", "patience", "min_delta", "batch_size")
"""Fields of a protocol that decide when early stopping ends a training."""


@dataclass(frozen=True)
class _Likeness:
    words: str
    holds: Callable[[Cell, RunRecord], bool]


_LIKENESS = (
    _Likeness("like", lambda cell, record: (record.model, record.method) == _kind(cell)),
    _Likeness("of its model", lambda cell, record: record.model == cell.model),
    _Likeness("of its method", lambda cell, record: record.method == cell.method),
)
"""The nearest first; the first that any record has decides."""


def likely_epochs(
    cell: Cell, config: FinetuneConfig, dataset: str, records: Iterable[RunRecord]
) -> tuple[Range, str]:
    """Return the epochs that `cell` may train under `config`, and where they are from.

    Like cells are of the same data set and protocol, of any seed. Their range holds the next one
    with a probability of (n - 1) / (n + 1), for n of them: one alone gives the likeliest number
    only. Without any, early stopping ends between `patience` + 1 and `max_epochs`.
    """
    found = [one for one in records if _is_like(one, config, dataset)]
    least = min(config.patience + 1, config.max_epochs)
    protocol = Range(least, config.max_epochs)
    if config.budget == "equal" and cell != cell.reference:
        cell = cell.reference
        found = [one for one in found if one.method == cell.method]
    for likeness in _LIKENESS:
        epochs = [len(one.epochs) for one in found if likeness.holds(cell, one)]
        if epochs:
            return _range(epochs, protocol), _from(len(epochs), likeness.words)
    return protocol, "the protocol"


def _range(epochs: Sequence[int], protocol: Range) -> Range:
    middle = min(float(median(epochs)), protocol.high)
    if len(epochs) == 1:
        return Range(protocol.low, protocol.high, middle)
    return Range(min(*epochs, middle), min(max(epochs), protocol.high), middle)


def _from(count: int, words: str) -> str:
    noun = "cell" if count == 1 else "cells"
    return f"{count} {words} {noun}" if words == "like" else f"{count} {noun} {words}"


def _is_like(record: RunRecord, config: FinetuneConfig, dataset: str) -> bool:
    """Whether a record ended under a like protocol; a smaller cap must not have ended it."""
    if record.status != "ok" or not record.epochs or record.dataset.name != dataset:
        return False
    protocol = record.protocol
    if any(getattr(protocol, name) != getattr(config, name) for name in _COURSE):
        return False
    capped = len(record.epochs) == protocol.max_epochs and config.max_epochs > len(record.epochs)
    return not capped


def _kind(cell: Cell) -> tuple[str, str]:
    return cell.model, cell.method
