import struct
import zlib
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energybench.config import DataConfig
from energybench.errors import CellError, UsageError
from energybench.progress import Progress
from energybench.workloads.base import Split
from energybench.workloads.images.data.folders import (
    FolderSource,
    ImageFolders,
    open_folder,
    open_imagenet,
)

Tree = Callable[..., Path]
CPU = torch.device("cpu")
Prepare = Callable[..., tuple[ImageFolders, list[str]]]
SEARCHED: tuple[Split, ...] = ("train", "validation")


def undecoded(root: Path, source: Callable[[str], FolderSource] = open_folder) -> ImageFolders:
    """The data set without a cache."""
    config = DataConfig("off")
    return source(str(root)).prepare((), CPU, config, Progress(None), lambda line: None)


def test_without_a_third_split_validation_comes_out_of_train(tree: Tree) -> None:
    data = undecoded(tree(train=20, val=5))
    assert data.split_sizes == {"train": 36, "validation": 4, "test": 10}
    assert data.classes == 2
    train, validation = (set(data.images.splits[name]) for name in SEARCHED)
    assert not train & validation


def test_a_third_split_is_the_one_reported(tree: Tree) -> None:
    data = undecoded(tree(train=20, val=5, test=7))
    assert data.split_sizes == {"train": 40, "validation": 10, "test": 14}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_batches_have_the_models_size(tree: Tree, split: str) -> None:
    data = undecoded(tree(train=20, val=5))
    images, labels = next(iter(data.batches(split, 32, 4, 0)))  # type: ignore[arg-type]
    assert images.shape == (4, 3, 32, 32)
    assert images.dtype == torch.float32
    assert set(labels.tolist()) <= {0, 1}


def test_an_unreadable_image_is_named(tree: Tree) -> None:
    root = tree(train=20, val=2)
    (root / "val" / "dog" / "1.jpg").write_bytes(b"not an image")
    with pytest.raises(CellError, match=r"cannot read image .*dog/1.jpg .*replace or delete"):
        list(undecoded(root).batches("test", 16, 8, 0))


def test_a_link_out_of_the_folder_is_refused(tree: Tree, tmp_path: Path) -> None:
    root = tree(train=20, val=2)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    Image.new("RGB", (8, 8)).save(outside / "x.jpg")
    link = root / "val" / "dog" / "link.jpg"
    link.symlink_to(outside / "x.jpg")
    with pytest.raises(UsageError, match=r"dog/link\.jpg is a link out of .*, to .*x\.jpg; follow"):
        undecoded(root)
    link.unlink()
    (root / "more").mkdir()
    Image.new("RGB", (8, 8)).save(root / "more" / "x.jpg")
    link.symlink_to(root / "more" / "x.jpg")  # within it is fine
    assert undecoded(root).split_sizes["test"] == 5
    for place in (root / "train" / "cat" / "eel", root / "val" / "dog" / "more"):
        place.symlink_to(outside, target_is_directory=True)
        with pytest.raises(UsageError, match="a link out of"):
            undecoded(root)
        place.unlink()
    elsewhere = tmp_path.parent / f"{tmp_path.name}-link"
    elsewhere.symlink_to(root, target_is_directory=True)  # so is a link to all of it
    assert undecoded(elsewhere).classes == 2


@pytest.mark.parametrize("target", ["train/dog/1.jpg", "train/dog", "train/cat"])
def test_a_link_that_would_test_what_was_trained_on_is_refused(tree: Tree, target: str) -> None:
    root = tree(train=20, val=2)
    link = root / ("train" if target == "train/cat" else "val") / "cat" / "link.jpg"
    link.symlink_to(root / target)  # to itself, too
    with pytest.raises(UsageError, match=r"and .*\.jpg are one (image|folder); delete one"):
        open_folder(str(root))


def test_a_decompression_bomb_is_named(tree: Tree) -> None:
    root = tree(train=20, val=2)
    bomb = root / "val" / "dog" / "1.png"
    Image.new("1", (1, 1)).save(bomb)
    content = bytearray(bomb.read_bytes())
    content[16:24] = struct.pack(">II", 20_000, 20_000)  # the size that its header states
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    bomb.write_bytes(content)
    with pytest.raises(CellError, match=r"cannot read image .*decompression bomb"):
        list(undecoded(root).batches("test", 16, 8, 0))


def test_a_truncated_image_is_named(tree: Tree) -> None:
    root = tree(train=20, val=2)
    image = root / "val" / "dog" / "1.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    with pytest.raises(CellError, match=r"cannot read image .*dog/1.jpg .*truncated"):
        list(undecoded(root).batches("test", 16, 8, 0))


def test_the_fingerprint_follows_the_files(tree: Tree) -> None:
    root = tree(train=20, val=2)
    before = undecoded(root).fingerprint
    assert undecoded(root).fingerprint == before
    (root / "val" / "dog" / "1.jpg").unlink()
    assert undecoded(root).fingerprint != before


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
        undecoded(tree(train=1, val=2))


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
    data = undecoded(tree(classes, train=1, val=1, test=1), open_imagenet)
    assert data.classes == 1000
    assert data.name.startswith("imagenet:")
    assert data.split_sizes == {"train": 1000, "validation": 1000, "test": 1000}
    labels = torch.cat([labels for _, labels in data.batches("validation", 8, 250, 0)])
    assert torch.equal(labels, torch.arange(1000))


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Prepares the folder at `root` for 32 pixels; the data set, and what was said."""

    def make(
        root: Path, cache: str = "", bad_images: str = "refuse", sizes: tuple[int, ...] = (32,)
    ) -> tuple[ImageFolders, list[str]]:
        said: list[str] = []
        config = DataConfig(cache or str(tmp_path / "cache"), bad_images)
        source = open_folder(str(root))
        return source.prepare_sizes(sizes, CPU, config, Progress(None), said.append), said

    return make


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_cache_serves_the_same_images(tree: Tree, prepare: Prepare, split: Split) -> None:
    root = tree(train=20, val=5)
    for number, path in enumerate(sorted(root.rglob("*.jpg"))):
        gradient = np.add.outer(np.arange(40), 3 * np.arange(50)) + 2 * (number % 20)
        Image.fromarray(gradient.astype(np.uint8)).save(path, quality=95)
    decoded, (cached, _) = undecoded(root), prepare(root)
    assert decoded.served(32) == {"served": "decoded as read"}
    assert cached.served(32) == {"served": "cached, 37 pixels"}
    assert cached.served(64) == {"served": "decoded as read"}
    assert cached.fingerprint == decoded.fingerprint
    ours, theirs = (list(data.batches(split, 32, 4, 0)) for data in (cached, decoded))
    assert len(ours) == len(theirs)
    for (images, labels), (others, same) in zip(ours, theirs, strict=True):
        assert torch.equal(labels, same)
        assert images.shape == others.shape
        if split != "train":  # half a pixel apart, where the centre is between two
            assert (images - others).abs().max() < 0.1


def test_without_the_cache_nothing_is_prepared(
    tree: Tree, prepare: Prepare, tmp_path: Path
) -> None:
    root = tree(train=20, val=2)
    data, said = prepare(root, "off")
    assert said == []
    assert data.served(32) == {"served": "decoded as read"}
    assert not (tmp_path / "cache").exists()
    with pytest.raises(UsageError, match="leave out cache off or bad_images skip"):
        prepare(root, "off", "skip")


def test_bad_images_are_refused_by_name_all_at_once(tree: Tree, prepare: Prepare) -> None:
    root = tree(train=20, val=2)
    for number in range(5):
        (root / "train" / "cat" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        prepare(root)
    text = str(caught.value)
    assert text.startswith(f"5 of 44 images of {root} cannot be read: train/cat/0.jpg (not an im")
    assert "train/cat/2.jpg (not an image" in text
    assert text.endswith("and 2 more; replace or delete them, or leave them out by bad_images skip")


def test_bad_images_are_left_out_and_recorded(tree: Tree, prepare: Prepare) -> None:
    root = tree(train=20, val=3)
    whole = undecoded(root)
    (root / "val" / "dog" / "1.jpg").write_bytes(b"x" * 900)
    data, said = prepare(root, bad_images="skip")
    assert said[-1].startswith(f"1 of 46 images of {root} cannot be read and are left out: val/dog")
    assert data.split_sizes == {**whole.split_sizes, "test": 5}
    (skipped,) = data.served(32)["skipped"]
    assert skipped.startswith("val/dog/1.jpg: not an image")
    labels = torch.cat([labels for _, labels in data.batches("test", 32, 4, 0)])
    assert labels.tolist() == [0, 0, 0, 1, 1]
    unread = undecoded(root).fingerprint
    assert len({whole.fingerprint, unread, data.fingerprint}) == 3
    again, _ = prepare(root, bad_images="skip")
    assert again.fingerprint == data.fingerprint


def test_preparing_leaves_the_source_and_earlier_data_sets_as_they_were(
    tree: Tree, prepare: Prepare
) -> None:
    root = tree(train=20, val=3)
    (root / "val" / "dog" / "1.jpg").write_bytes(b"x" * 900)
    first = undecoded(root)
    facts = first.fingerprint, first.split_sizes, first.served(32)
    source = open_folder(str(root))
    before = source.images
    data, _ = prepare(root, bad_images="skip")
    assert source.images is before
    assert (first.fingerprint, first.split_sizes, first.served(32)) == facts
    assert (data.fingerprint, data.served(32)) != (facts[0], facts[2])
    with pytest.raises(FrozenInstanceError):
        data.images = before  # type: ignore[misc]


def test_several_sizes_are_prepared_at_once(tree: Tree, prepare: Prepare) -> None:
    root = tree(train=20, val=3)
    (root / "val" / "dog" / "1.jpg").write_bytes(b"x" * 900)
    data, _ = prepare(root, bad_images="skip", sizes=(16, 32))
    assert [line.partition(" (")[0] for line in data.built] == [
        "decoded 46 images to 18 x 18 pixels",
        "decoded 46 images to 37 x 37 pixels",
    ]
    assert data.served(16)["served"] == "cached, 18 pixels"
    assert data.served(32)["served"] == "cached, 37 pixels"
    again, _ = prepare(root, bad_images="skip", sizes=(32,))
    assert again.built == ()
    assert again.fingerprint == data.fingerprint


def test_models_are_prepared_for_their_image_sizes(tree: Tree, tmp_path: Path) -> None:
    config, said = DataConfig(str(tmp_path / "cache")), list[str]()
    source = open_folder(str(tree(train=20, val=3)))
    data = source.prepare(["vgg16", "resnet18"], CPU, config, Progress(None), said.append)
    assert data.models == {"vgg16", "resnet18"}
    assert list(data.maps) == [224]
    task = data.task("resnet18", None, CPU)
    assert task.facts() == {"classes": 2, "image_size": 224, "served": "cached, 256 pixels"}
    with pytest.raises(UsageError, match="unknown model 'resnet17'"):
        source.prepare(["resnet17"], CPU, config, Progress(None), said.append)


def test_a_class_without_any_readable_image_is_named(tree: Tree, prepare: Prepare) -> None:
    root = tree(train=20, val=2)
    for number in range(2):
        (root / "val" / "dog" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"no image of .*val/dog in the test split can be read \("):
        prepare(root, bad_images="skip")


def test_files_that_are_not_called_images_are_named(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    root = tree(train=20, val=2)
    before = undecoded(root).fingerprint
    assert not caplog.records
    for name in ("0.heic", ".DS_Store", "._0.jpg"):
        (root / "val" / "dog" / name).write_bytes(b"x")
    assert undecoded(root).fingerprint == before
    assert caplog.messages == [
        f"not used, as their names are not those of images: {root / 'val'}: dog/0.heic"
    ]


def test_a_class_with_one_image_is_named(tree: Tree) -> None:
    root = tree(train=20, val=2)
    for number in range(1, 20):
        (root / "train" / "cat" / f"{number}.jpg").unlink()
    with pytest.raises(UsageError, match="21 images, 2 classes, one image in cat"):
        open_folder(str(root))
