from itertools import chain

import pytest
import torch

from energybench.workloads.base import Split
from energybench.workloads.images.data.digits import Digits
from energybench.workloads.order import BatchOrder


def test_ranks_slice_every_global_batch_of_every_epoch() -> None:
    whole = BatchOrder("train", 103, 10, seed=5)
    parts = [BatchOrder("train", 103, 10, 5, (rank, 3)) for rank in range(3)]
    for _ in range(2):
        epochs = [list(part) for part in parts]
        assert [list(chain(*slices)) for slices in zip(*epochs, strict=True)] == list(whole)
    assert [len(part) for part in parts] == [len(whole)] * 3 == [10] * 3
    assert {len(batch) for epoch in epochs for batch in epoch} == {3, 4}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_ranks_evaluate_every_image_once_and_in_order(split: Split) -> None:
    parts = [BatchOrder(split, 103, 10, 0, (rank, 4)) for rank in range(4)]
    assert list(chain.from_iterable(chain.from_iterable(parts))) == list(range(103))
    assert all(len(list(part)) == len(part) for part in parts)
    assert max(len(batch) for part in parts for batch in part) == 10 // 4, "of all ranks together"


def test_digits_of_two_ranks_are_those_of_one() -> None:
    data = Digits()
    whole = data.batches("train", 8, 64, 0)
    ranks = [data.batches("train", 8, 64, 0, (rank, 2)) for rank in range(2)]
    for (images, labels), *shares in zip(whole, *ranks, strict=True):
        assert torch.equal(images, torch.cat([images for images, _ in shares]))
        assert torch.equal(labels, torch.cat([labels for _, labels in shares]))
