from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energybench.data.folder import open_folder, open_imagenet
from energybench.errors import CellError, UsageError

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes an image folder data set: `tree(train=20, val=4)` puts that many into each class."""

    def make(classes: tuple[str, ...] = ("cat", "dog"), **splits: int) -> Path:
        pixels = np.random.default_rng(0)
        for split, count in splits.items():
            for name in classes:
                folder = tmp_path / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    array = pixels.integers(0, 255, (40, 50, 3), dtype=np.uint8)
                    Image.fromarray(array).save(folder / f"{number}.jpg")
        return tmp_path

    return make


def test_without_a_third_split_validation_comes_out_of_train(tree: Tree) -> None:
    data = open_folder(str(tree(train=20, val=5)))
    assert data.split_sizes == {"train": 36, "validation": 4, "test": 10}
    assert data.classes == 2
    train, validation = (set(data._splits[name][1]) for name in ("train", "validation"))
    assert not train & validation


def test_a_third_split_is_the_one_reported(tree: Tree) -> None:
    data = open_folder(str(tree(train=20, val=5, test=7)))
    assert data.split_sizes == {"train": 40, "validation": 10, "test": 14}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_batches_have_the_models_size(tree: Tree, split: str) -> None:
    data = open_folder(str(tree(train=20, val=5)))
    images, labels = next(iter(data.batches(split, 32, 4, 0)))  # type: ignore[arg-type]
    assert images.shape == (4, 3, 32, 32)
    assert images.dtype == torch.float32
    assert set(labels.tolist()) <= {0, 1}


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_any_colour_mode_becomes_rgb(tree: Tree, mode: str) -> None:
    root = tree(train=20, val=2)
    file = root / "val" / "cat" / f"0.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.new(mode, (40, 30)).save(file)
    images, _ = next(iter(open_folder(str(root)).batches("test", 16, 8, 0)))
    assert images.shape[1:] == (3, 16, 16)


def test_an_unreadable_image_is_named(tree: Tree) -> None:
    root = tree(train=20, val=2)
    (root / "val" / "dog" / "1.jpg").write_bytes(b"not an image")
    with pytest.raises(CellError, match=r"cannot read image .*dog/1.jpg .*replace or delete"):
        list(open_folder(str(root)).batches("test", 16, 8, 0))


def test_the_fingerprint_follows_the_files(tree: Tree) -> None:
    root = tree(train=20, val=2)
    before = open_folder(str(root)).fingerprint
    assert open_folder(str(root)).fingerprint == before
    (root / "val" / "dog" / "1.jpg").unlink()
    assert open_folder(str(root)).fingerprint != before


def test_an_empty_class_folder_is_named(tree: Tree) -> None:
    root = tree(train=20, val=2)
    (root / "train" / "eel").mkdir()
    with pytest.raises(UsageError, match="eel") as caught:
        open_folder(str(root))
    assert "\n" not in str(caught.value)


def test_different_classes_are_named(tree: Tree) -> None:
    root = tree(train=20, val=2)
    (root / "val" / "dog").rename(root / "val" / "wolf")
    with pytest.raises(UsageError, match=r"different classes.*dog, wolf"):
        open_folder(str(root))


def test_too_few_images_to_split(tree: Tree) -> None:
    with pytest.raises(UsageError, match="too small"):
        open_folder(str(tree(train=1, val=2)))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere/train is not a folder"):
        open_folder(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="folder:PATH"):
        open_folder("")


def test_imagenet_has_a_thousand_classes(tree: Tree) -> None:
    with pytest.raises(UsageError, match=r"has 2 classes.*folder:"):
        open_imagenet(str(tree(train=20, val=2)))


def test_imagenet_keeps_the_order_of_its_classes(tree: Tree) -> None:
    classes = tuple(f"n{number:08d}" for number in range(1000))
    data = open_imagenet(str(tree(classes, train=1, val=1, test=1)))
    assert data.classes == 1000
    assert data.name.startswith("imagenet:")
    assert data.split_sizes == {"train": 1000, "validation": 1000, "test": 1000}
    labels = torch.cat([labels for _, labels in data.batches("validation", 8, 250, 0)])
    assert torch.equal(labels, torch.arange(1000))
