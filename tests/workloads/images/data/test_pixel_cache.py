"""A cache is either whole and right, or made so; and every way that it cannot be is one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.full_disk import FilesOnAFullDisk
from support.waiting import wait_until

from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.images.data import pixel_cache
from energybench.workloads.images.data.decode import NotReadError, rgb_square
from energybench.workloads.images.data.pixel_cache import DecodedImages, PixelCache

SIDE = 24
Tree = Callable[..., Path]


class Photos:
    """A few images, and their cache in a folder of its own."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.paths = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
        self.said: list[str] = []

    def open(self, folder: Path | None = None) -> DecodedImages:
        self.said.clear()
        cache = PixelCache(self.root, self.paths, SIDE, folder or self.folder)
        return cache.open(Progress(None), self.said.append)

    def expect(self, found: DecodedImages) -> None:
        for path, square in zip(self.paths, found.pixels.squares, strict=True):
            assert np.array_equal(rgb_square(str(self.root / path), SIDE), square.numpy()), path

    def decoded(self) -> int:
        """Images that an unfinished build has decoded."""
        paths = self.folder.glob("*.partial/checksums.u64")
        return sum(int(np.count_nonzero(np.fromfile(path, np.uint64))) for path in paths)

    @property
    def files(self) -> Path:
        (found,) = self.folder.glob("*px-*[0-9a-f]/")
        return found


@pytest.fixture
def photos(tree: Tree, tmp_path: Path) -> Photos:
    return Photos(tree(train=8, val=2), tmp_path / "cache")


def test_every_image_is_there_and_is_decoded_once(photos: Photos) -> None:
    found = photos.open()
    photos.expect(found)
    assert found.bad == {}
    assert found.built == "decoded 20 images to 24 x 24 pixels (34.6 kB)"
    (said,) = photos.said
    assert said.startswith(f"decoding 20 images of {photos.root} once, to 24 x 24 pixels: 34.6 kB")
    again = photos.open()
    photos.expect(again)
    assert (again.built, photos.said) == (None, [])


def test_worker_processes_give_the_same(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_cache, "_ALONE", 0)
    monkeypatch.setattr(pixel_cache, "_CHUNK", 3)
    (photos.root / photos.paths[4]).write_bytes(b"torn")
    found = photos.open()
    assert list(found.bad) == [4]
    assert not found.pixels.squares[4].any()
    for index in (0, 3, 5, 19):
        square = rgb_square(str(photos.root / photos.paths[index]), SIDE)
        assert np.array_equal(found.pixels.squares[index].numpy(), square)


def test_a_bad_image_is_remembered(photos: Photos) -> None:
    (photos.root / photos.paths[7]).write_bytes(b"")
    assert "not an image" in photos.open().bad[7]
    assert "not an image" in photos.open().bad[7]
    assert photos.said == []


BUILD = """
import sys
import time
from pathlib import Path
from energybench.workloads.images.data import decode, pixel_cache
from energybench.progress import Progress

root, folder, side = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
paths = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
pixel_cache._ALONE = 0
pixel_cache._CHUNK = 1
quick = pixel_cache.rgb_square

def rgb_square(path, side):
    time.sleep(0.1)
    return quick(path, side)

pixel_cache.rgb_square = rgb_square
print("ready", flush=True)
sys.stdin.readline()
pixel_cache.PixelCache(root, paths, side, folder).open(Progress(None), print)
"""


@pytest.fixture
def builder(photos: Photos) -> Callable[[], "subprocess.Popen[str]"]:
    """Starts a process that builds the cache, slowly, once it is told to go."""

    def start() -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(photos.root), str(photos.folder), str(SIDE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return start


def test_killed_again_and_again_it_goes_on_and_leaves_no_process(
    photos: Photos, builder: Callable[[], "subprocess.Popen[str]"]
) -> None:
    """kill -9 while worker processes decode; every image in the end is right, and whole."""
    done = 0
    for _ in range(2):
        process = builder()
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        wait_until(lambda: photos.decoded() > done)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)  # until all that write there have ended
        wait_until(lambda: not group_is_alive(process.pid))  # noqa: B023
        done = photos.decoded()
    assert 2 <= done < len(photos.paths)
    assert not list(photos.folder.glob("*/facts.json"))
    found = photos.open()
    assert f"decoding {len(photos.paths) - done} images" in photos.said[0]
    photos.expect(found)
    assert not list(photos.folder.glob("*.partial"))


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_damaged_square_is_decoded_again_and_only_that(photos: Photos) -> None:
    photos.open()
    with (photos.files / "pixels.u8").open("r+b") as file:
        file.seek(3 * SIDE * SIDE * 5 + 100)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    found = photos.open()
    assert photos.said[0].endswith("is damaged; those images are decoded again")
    assert photos.said[1].startswith("decoding 1 images")
    photos.expect(found)


@pytest.mark.parametrize("file", ["pixels.u8", "checksums.u64"])
@pytest.mark.parametrize("how", ["shorter", "longer", "gone", "empty"])
def test_a_file_of_another_size_is_made_right(photos: Photos, file: str, how: str) -> None:
    photos.open()
    path = photos.files / file
    content = path.read_bytes()
    path.write_bytes({"shorter": content[:-5], "longer": content + b"x" * 9}.get(how, b""))
    if how == "gone":
        path.unlink()
    found = photos.open()
    assert "is damaged" in photos.said[0]
    photos.expect(found)
    assert path.read_bytes() == content


@pytest.mark.parametrize("facts", ["", "[]", "{", '{"schema_version": "x"}', '{"bad": 5}'])
def test_facts_that_make_no_sense_are_written_again(photos: Photos, facts: str) -> None:
    photos.open()
    (photos.files / "facts.json").write_text(facts)
    photos.expect(photos.open())
    assert photos.open().built is None


def test_a_cache_of_another_version_is_named_and_not_read(photos: Photos) -> None:
    photos.open()
    path = photos.files / "facts.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    old = photos.files.rename(photos.folder / f"{photos.root.name}-24px-{'0' * 16}")
    assert photos.open().built is not None
    assert (
        photos.said[0] == f"{old} is of another version and is not used; delete it to free 36.9 kB"
    )


def test_an_image_that_changes_is_decoded_anew_and_only_that(photos: Photos) -> None:
    (photos.root / photos.paths[3]).write_bytes(b"torn")
    assert list(photos.open().bad) == [3]
    Image.new("RGB", (50, 40), (200, 0, 0)).save(photos.root / photos.paths[3])
    found = photos.open()
    assert photos.said[0] == (
        f"{photos.files} has images that have changed; those images are decoded again"
    )
    assert photos.said[1].startswith("decoding 1 images")
    assert found.bad == {}
    photos.expect(found)
    assert photos.open().built is None


def test_the_cache_of_other_images_is_named(photos: Photos) -> None:
    photos.open()
    old = photos.files
    (photos.root / photos.paths.pop(3)).unlink()
    found = photos.open()
    assert f"{old} has other images than there are now and is not used" in photos.said[0]
    photos.expect(found)


def test_an_image_that_is_gone_is_told(photos: Photos) -> None:
    (photos.root / photos.paths[3]).unlink()
    with pytest.raises(UsageError, match=r"cannot read .*/3\.jpg: No such file or directory; run"):
        photos.open()


def test_a_name_with_wildcards_in_it_is_a_name(photos: Photos) -> None:
    photos.root = photos.root.rename(photos.root.parent / "[a] *.v2")
    photos.expect(photos.open())
    photos.paths.pop()
    photos.open()
    assert "has other images than there are now" in photos.said[0]


def test_too_little_space_is_told_before_anything_is_written(
    photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6, 12_345))
    with pytest.raises(
        UsageError, match=r"take 34\.6 kB, and .*cache has 12\.3 kB free; free"
    ) as e:
        photos.open()
    assert "name another cache folder" in str(e.value)
    assert "\n" not in str(e.value)
    assert not [path for path in photos.folder.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("workers", [False, True])
def test_a_disk_that_fills_up_is_told_and_what_is_done_is_kept(
    photos: Photos, monkeypatch: pytest.MonkeyPatch, workers: bool
) -> None:
    monkeypatch.setattr(pixel_cache, "_ALONE", 0 if workers else 64)
    with monkeypatch.context() as patch:
        patch.setattr(pixel_cache, "PixelFiles", FilesOnAFullDisk)
        with pytest.raises(
            UsageError, match=r"cannot keep .*cache \(No space left on device\); na"
        ):
            photos.open()
    photos.expect(photos.open())
    assert int(photos.said[0].split()[1]) < 20


def test_a_folder_that_cannot_be_made_is_told(photos: Photos, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot keep .*file/x \(Not a directory\)"):
        photos.open(tmp_path / "file" / "x")


def test_of_two_that_build_one_waits(
    photos: Photos, builder: Callable[[], "subprocess.Popen[str]"]
) -> None:
    both = [builder(), builder()]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    waited, built = sorted(line for lines in said for line in lines)
    assert waited == f"another process decodes the images of {photos.root}; waiting until it ends"
    assert built.startswith("decoding 20 images")
    photos.expect(photos.open())
    assert photos.said == []


def test_a_disk_that_does_not_answer_makes_no_image_bad(
    photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: str, side: int) -> np.ndarray:
        if path.endswith(photos.paths[3]):
            raise NotReadError("Input/output error")
        return rgb_square(path, side)

    with monkeypatch.context() as patch:
        patch.setattr(pixel_cache, "rgb_square", failing)
        with pytest.raises(UsageError, match=r"cannot read .* \(Input/output error\); run again"):
            photos.open()
    assert photos.decoded() >= 3
    found = photos.open()
    assert found.bad == {}
    photos.expect(found)
