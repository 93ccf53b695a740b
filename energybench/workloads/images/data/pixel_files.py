"""The files of a cache of decoded images: pixels, checksums, and facts about both.

The checksum of an image is written after its pixels and includes the image file's size and time. So
checksums tell which images a killed build had finished, which are damaged, and which have changed
since. Images whose checksum does not match are decoded again.
"""

import hashlib
import json
import mmap
import os
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from energybench.errors import UsageError
from energybench.records.schema import read_versioned

SCHEMA_VERSION = 2
"""Version of the files and their contents; a cache of another version is not read."""
_CHECKED_BYTES = 2**30
"""Bytes of pixels, evenly spread, that are checked when a cache is opened: under a second."""


@dataclass(frozen=True)
class CacheFacts:
    """The contents of a cache, as its `facts.json` has them."""

    source: str
    """The folder of the images."""
    side: int
    images: int
    stamps: str
    """Hash over the stamps of all images; another one if any image has changed."""
    bad: dict[int, str] = field(default_factory=dict)
    """Index of an image that could not be decoded -> why; its pixels are 0."""
    schema_version: int = SCHEMA_VERSION


class PixelFiles:
    """The files in `folder` for squares of (3, side, side) uint8.

    `stamps` has a uint64 for each image, which changes with the image's file.
    """

    def __init__(self, folder: Path, stamps: NDArray[np.uint64], side: int) -> None:
        self.folder = folder
        self.images = len(stamps)
        self.side = side
        self.bytes = self.images * 3 * side * side
        self.stamps = hashlib.sha256(stamps.tobytes()).hexdigest()[:16]
        """Hash over the stamps of all images."""
        self._stamps = stamps
        self._pixels, self._sums = folder / "pixels.u8", folder / "checksums.u64"
        self._facts = folder / "facts.json"

    def create(self) -> None:
        """Make the folder and its files at full size; files that exist keep their contents."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, size in ((self._pixels, self.bytes), (self._sums, 8 * self.images)):
            with path.open("ab") as file:
                file.truncate(size)

    def allocated(self) -> int:
        """Return the bytes of pixels for which the disk has already allocated space."""
        return self._pixels.stat().st_blocks * 512 if self._pixels.exists() else 0

    def write(self, index: int, square: NDArray[np.uint8]) -> None:
        """Write a square, then its checksum; raises OSError. Processes may write in parallel."""
        _write_at(self._pixels, index * square.nbytes, square.tobytes())
        _write_at(self._sums, index * 8, np.uint64(self._sum(index, square)).tobytes())

    def map(self) -> "PixelMap":
        """Map the squares into memory; the operating system pages them in."""
        with self._pixels.open("rb") as file:
            return PixelMap(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), self.side)

    def undone(self) -> list[int]:
        """Return the indices of squares that are missing, damaged, or of changed files."""
        return self._mismatches(range(self.images))

    def whole(self, facts: CacheFacts) -> bool:
        """Return whether the files are as they were written, judging by sizes and a sample.

        Compare `facts.stamps` to find out whether an image has changed since.
        """
        expected = {self._pixels: self.bytes, self._sums: 8 * self.images}
        if any(not path.exists() or path.stat().st_size != n for path, n in expected.items()):
            return False
        every = max(1, self.bytes // _CHECKED_BYTES)
        return facts.bad.keys() >= set(self._mismatches(range(0, self.images, every)))

    def _mismatches(self, indices: range) -> list[int]:
        sums = np.fromfile(self._sums, dtype=np.uint64)
        squares = self.map().squares
        return [i for i in indices if sums[i] == 0 or sums[i] != self._sum(i, squares[i].numpy())]

    def _sum(self, index: int, square: NDArray[np.uint8]) -> int:
        """Return the checksum of a square, never 0, which marks a square that is not written."""
        whole = square.size // 8 * 8
        flat = square.reshape(-1)
        words = int(flat[:whole].view(np.uint64).sum()) + int(flat[whole:].sum())
        return (words + int(self._stamps[index])) % (2**64 - 1) + 1

    def read_facts(self) -> CacheFacts | None:
        """Read the facts; None where there are none, or they are of another version."""
        try:
            data = json.loads(self._facts.read_text())
            return read_versioned(data, CacheFacts, "image cache", SCHEMA_VERSION)
        except (OSError, ValueError, UsageError):
            return None

    def write_facts(self, facts: CacheFacts) -> None:
        """Sync the files to the disk, then write the facts."""
        for path in (self._pixels, self._sums):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        with self._facts.open("w") as file:
            json.dump(asdict(facts), file, indent=1)
            file.flush()
            os.fsync(file.fileno())


class PixelMap:
    """All squares of a cache; a square is read from the disk when it is used."""

    def __init__(self, mapped: mmap.mmap, side: int) -> None:
        self._mapped = mapped
        self.side = side
        self._square_bytes = 3 * side * side
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch's, that the map is read-only
            flat = torch.frombuffer(mapped, dtype=torch.uint8)
        self.squares = flat.view(-1, 3, side, side)
        """(images, 3, side, side) uint8."""

    def will_need(self, indices: Iterable[int]) -> None:
        """Ask the operating system to read these squares ahead; returns at once."""
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        for index in indices:
            start = index * self._square_bytes
            page = start - start % mmap.PAGESIZE
            length = start + self._square_bytes - page
            self._mapped.madvise(mmap.MADV_WILLNEED, page, length)


def _write_at(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
