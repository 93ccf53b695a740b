"""Image folders as people have them: what lies beside the images, names and links."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from energybench.config import DataConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.images.data.folders import ImageFolders, open_folder

Tree = Callable[..., Path]
CPU = torch.device("cpu")
NOT_UTF8 = os.fsdecode(b"caf\xe9")


def prepared(
    root: Path, cache: str = "off", links: str = "refuse", bad_images: str = "refuse"
) -> tuple[ImageFolders, list[str]]:
    """The data set of a run at 32 pixels, and the lines that the run says."""
    said: list[str] = []
    settings = DataConfig(cache=cache, links=links, bad_images=bad_images)
    source = open_folder(str(root))
    return source.prepare_sizes([32], CPU, settings, Progress(None), said.append), said


def is_same(one: ImageFolders, other: ImageFolders) -> bool:
    return (one.fingerprint, one.classes) == (other.fingerprint, other.classes)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "lost+found", ".thumbs", "@eaDir"])
@pytest.mark.parametrize("place", ["train", "train/cat", "val/dog"])
def test_folders_of_editors_and_systems_are_no_classes_and_have_no_images(
    tree: Tree, name: str, place: str
) -> None:
    root = tree(train=20, val=2)
    before, _ = prepared(root)
    (root / place / name / "deeper").mkdir(parents=True)
    assert is_same(prepared(root)[0], before)
    for folder in (root / place / name, root / place / name / "deeper"):
        shutil.copy(root / "train" / "cat" / "0.jpg", folder / "0-checkpoint.jpg")
    assert is_same(prepared(root)[0], before)


def test_a_hidden_folder_in_every_split_is_no_class(tree: Tree) -> None:
    root = tree(("cat", "dog", ".thumbs"), train=20, val=2)
    assert prepared(root)[0].classes == 2


def test_a_data_set_below_a_hidden_folder_is_one(tree: Tree, tmp_path: Path) -> None:
    hidden = tmp_path / ".data"
    tree(train=20, val=2).rename(hidden)
    assert prepared(hidden)[0].split_sizes["test"] == 4


def test_folders_within_a_class_keep_their_order(tree: Tree) -> None:
    root = tree(train=20, val=2)
    for name in ("b", "a", "a/z", "a b"):
        (root / "val" / "cat" / name).mkdir(exist_ok=True)
        shutil.copy(root / "val" / "cat" / "0.jpg", root / "val" / "cat" / name / "x.jpg")
    images = prepared(root)[0].images
    found = [images.paths[index] for index in images.splits["test"]][:6]
    within = ["0.jpg", "1.jpg", "a/x.jpg", "a b/x.jpg", "a/z/x.jpg", "b/x.jpg"]
    assert found == [f"val/cat/{name}" for name in within]


def test_a_pipe_that_is_called_an_image_is_not_waited_for(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    root = tree(train=20, val=2)
    os.mkfifo(root / "val" / "cat" / "camera.jpg")
    assert prepared(root)[0].split_sizes["test"] == 4
    assert "cat/camera.jpg" in caplog.text


def test_a_folder_that_may_not_be_read_is_named(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(train=20, val=2)
    (root / "train" / "cat" / "private").mkdir()
    scan = os.scandir

    def refused(path: str) -> object:
        if path.endswith("private"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(UsageError, match=r"cat/private: Permission denied; check its perm"):
        open_folder(str(root))


@pytest.mark.parametrize("cache", ["on", "off"])
def test_names_that_are_not_utf8_are_names_like_others(
    tree: Tree, tmp_path: Path, cache: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = tree(("cat", NOT_UTF8), train=20, val=2)
    root = root.rename(tmp_path / NOT_UTF8)
    folder = root / "val" / NOT_UTF8
    (folder / "1.jpg").rename(folder / f"{NOT_UTF8}.jpg")
    (folder / f"{NOT_UTF8}.txt").touch()
    where = {} if cache == "off" else {"cache": str(tmp_path / "cache"), "bad_images": "skip"}
    data, said = prepared(root, **where)
    assert len(list(data.batches("test", 32, 4, 0))) == 1
    assert r"caf\xe9/val: caf\xe9/caf\xe9.txt" in caplog.text
    if cache == "on":
        (folder / f"{NOT_UTF8}.jpg").write_bytes(b"no image")
        data, said = prepared(root, **where)
        assert "val/caf\\xe9/caf\\xe9.jpg: not an image" in data.served(32)["skipped"][0]
        assert prepared(root, **where)[0].built == ()
    "\n".join([data.name, str(data.served(32)), caplog.text, *said]).encode()


def test_a_name_that_is_not_utf8_is_legible_in_an_error(tree: Tree) -> None:
    root = tree(("cat", NOT_UTF8), train=20, val=2)
    shutil.rmtree(root / "val" / NOT_UTF8)
    with pytest.raises(UsageError, match=r"different classes \(caf\\xe9\)"):
        open_folder(str(root))


@pytest.fixture
def arranged(tree: Tree, tmp_path: Path) -> Path:
    """A data set whose class `cat` is a link in every split, as ImageNet is often arranged."""
    root = tree(train=20, val=2)
    for split in ("train", "val"):
        away = tmp_path / "elsewhere" / split
        away.mkdir(parents=True)
        (root / split / "cat").rename(away / "cat")
        (root / split / "cat").symlink_to(away / "cat", target_is_directory=True)
    return root


def test_links_out_of_the_folder_are_followed_where_asked_for(
    arranged: Path, tmp_path: Path
) -> None:
    refusal = r"train/cat is a link out of .*, to .*elsewhere/train/cat; .*--energy-links=follow"
    with pytest.raises(UsageError, match=refusal):
        prepared(arranged)
    data, said = prepared(arranged, links="follow")
    assert data.split_sizes == {"train": 36, "validation": 4, "test": 4}
    assert said == [
        f"links out of {arranged} are followed: "
        f"{arranged}/train/cat to {tmp_path}/elsewhere/train/cat, "
        f"{arranged}/val/cat to {tmp_path}/elsewhere/val/cat"
    ]
    for split in ("train", "val"):
        (arranged / split / "cat").unlink()
        shutil.copytree(tmp_path / "elsewhere" / split / "cat", arranged / split / "cat")
    assert is_same(prepared(arranged)[0], data)


@pytest.mark.parametrize(
    "target", ["elsewhere/train/cat", "elsewhere/train", "elsewhere/train/cat/0.jpg"]
)
def test_a_followed_link_leads_to_no_image_twice(
    arranged: Path, tmp_path: Path, target: str
) -> None:
    (arranged / "val" / "dog" / "more.jpg").symlink_to(tmp_path / target)
    with pytest.raises(UsageError, match=r"and .* are one (image|folder); delete one"):
        prepared(arranged, links="follow")


def test_links_in_a_circle_end(tree: Tree) -> None:
    root = tree(train=20, val=2)
    for name in ("one", "two"):
        (root / "train" / "cat" / name).symlink_to(root / "train", target_is_directory=True)
    with pytest.raises(UsageError, match="are one folder; delete one of the links"):
        prepared(root, links="follow")


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_other_names_of_the_validation_split(tree: Tree, name: str) -> None:
    root = tree(train=20, val=2, test=3)
    sizes = prepared(root)[0].split_sizes
    (root / "val").rename(root / name)
    assert prepared(root)[0].split_sizes == sizes
    (root / "val").mkdir()
    with pytest.raises(UsageError, match=f"has val and {name}; keep one of them"):
        open_folder(str(root))


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_root_folder_with_a_long_name_is_cached(tree: Tree, tmp_path: Path, letter: str) -> None:
    root = tree(train=20, val=2)
    root = root.rename(tmp_path / (letter * (240 // len(letter.encode()))))
    first, _ = prepared(root, cache=str(tmp_path / "cache"))
    assert first.served(32)["served"] == "cached, 37 pixels"
    assert prepared(root, cache=str(tmp_path / "cache"))[0].built == ()
    names = [path.name for path in (tmp_path / "cache").iterdir()]
    assert names
    assert all(len(name.encode()) <= 143 for name in names)


def test_a_path_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train is not a folder"):
        open_folder(str(tmp_path / ("x" * 300)))


@pytest.mark.parametrize(
    ("target", "reason"), [("nowhere.jpg", "No such file"), ("val/cat/2.jpg", "Too many levels")]
)
def test_a_link_that_leads_to_nothing_is_named(tree: Tree, target: str, reason: str) -> None:
    root = tree(train=20, val=2)
    (root / "val" / "cat" / "2.jpg").symlink_to(root / target)
    with pytest.raises(UsageError, match=rf"cannot read .*2\.jpg: {reason}"):
        open_folder(str(root))
