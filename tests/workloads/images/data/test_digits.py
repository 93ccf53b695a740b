import itertools

import pytest
import torch

from energybench.config import DataConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.images.data.digits import Digits, open_digits

SIZES = {"pretrain": 450, "train": 450, "validation": 297, "test": 600}


def whole(split: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(Digits().batches(split, 8, 64, seed))  # type: ignore[arg-type]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


@pytest.mark.parametrize("seed", [0, 1])
def test_splits_share_no_image_and_keep_the_classes_balanced(seed: int) -> None:
    data = Digits().varied(seed)
    assert data.split_seed == seed
    assert data.split_sizes == SIZES
    indices = [set(data._indices[name]) for name in SIZES]  # type: ignore[index]
    assert all(not a & b for a, b in itertools.combinations(indices, 2))
    assert sum(map(len, indices)) == 1797
    for split in ("validation", "test"):
        counts = torch.bincount(data._labels[data._indices[split]], minlength=10)
        assert counts.max() - counts.min() <= 0.15 * counts.max()


def test_training_order_is_the_seeds_alone() -> None:
    assert torch.equal(whole("train", 3)[1], whole("train", 3)[1])
    assert not torch.equal(whole("train", 3)[1], whole("train", 4)[1])


def test_each_epoch_is_shuffled_anew_and_evaluation_never() -> None:
    train = Digits().batches("train", 8, 64, 0)
    first, second = ([y for _, y in train] for _ in range(2))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert torch.equal(whole("test", 0)[0], whole("test", 1)[0])


def test_a_last_training_batch_that_is_smaller_is_dropped() -> None:
    assert [len(y) for _, y in Digits().batches("train", 8, 64, 0)] == [64] * 7
    assert [len(y) for _, y in Digits().batches("train", 8, 1000, 0)] == [450]
    assert [len(y) for _, y in Digits().batches("validation", 8, 256, 0)] == [256, 41]


def test_images_are_normalized_rgb_of_the_size_asked_for() -> None:
    images, labels = next(iter(Digits().batches("validation", 37, 50, 0)))
    assert images.shape == (50, 3, 37, 37)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert images.mean().abs() < 0.05
    assert torch.equal(images[:, 0], images[:, 2])


def test_fingerprint_is_stable_and_a_location_is_refused() -> None:
    assert Digits().fingerprint == Digits().fingerprint
    with pytest.raises(UsageError, match="takes no path"):
        open_digits("/somewhere")


def test_a_seed_draws_other_splits_of_the_same_images() -> None:
    data = Digits()
    other = data.varied(1)
    assert (data.split_seed, other.split_seed) == (0, 1)
    assert other.fingerprint != data.fingerprint == other.varied(0).fingerprint
    assert other.split_sizes == data.split_sizes
    assert other.varied(1) is other


def test_preparing_needs_no_work_and_remembers_the_models() -> None:
    said: list[str] = []
    cpu, config = torch.device("cpu"), DataConfig()
    data = open_digits().prepare(["resnet18"], cpu, config, Progress(None), said.append)
    assert data.models == {"resnet18"}
    assert data.built == ()
    assert said == []
    assert data.fingerprint == Digits().fingerprint
