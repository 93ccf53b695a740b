"""Decodes images once: in parallel, resumed after a kill, published whole or not at all."""

import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader, Dataset

from energybench.energy.cores import usable_cores
from energybench.energy.units import format_bytes
from energybench.errors import UsageError, legible
from energybench.progress import Progress
from energybench.workloads.images.data.decode import BadImageError, NotReadError, rgb_square
from energybench.workloads.images.data.pixel_files import (
    SCHEMA_VERSION,
    CacheFacts,
    PixelFiles,
    PixelMap,
)
from energybench.workloads.images.data.workers import ending_with_this_process

_CHUNK = 32
"""Images per step of the progress bar."""
_ALONE = 64
"""Up to so many images are decoded in this process, before a worker would have started."""
_LONGEST_STEM = 100
"""Bytes of the data set's name in the names of its cache."""
_OTHERWISE = "name another cache folder, or off to decode images as they are read"

_Outcome = tuple[int, BadImageError | NotReadError | OSError | None]
"""Index of an image, and the error in decoding, reading or writing it, None if there is none."""


@dataclass(frozen=True)
class DecodedImages:
    """A complete cache."""

    pixels: PixelMap
    bad: dict[int, str]
    """Index of an image that cannot be decoded -> why."""
    built: str | None
    """One line on what was decoded now; None if the cache was complete."""


class PixelCache:
    """Squares of `side` pixels of the images at `paths` in `root`, kept below `folder`."""

    def __init__(self, root: Path, paths: Sequence[str], side: int, folder: Path) -> None:
        self._root, self._paths = root.resolve(), paths
        self._shown = legible(str(self._root))
        self._stem = _stem(self._root.name)
        name = f"{self._stem}-{side}px-{_key(paths)}"
        stamps = np.array([_stamp(root / path) for path in paths], dtype=np.uint64)
        self._files = PixelFiles(folder / name, stamps, side)
        self._partial = PixelFiles(folder / f"{name}.partial", stamps, side)
        self._lock = folder / f"{name}.lock"

    def open(self, progress: Progress, say: Callable[[str], None]) -> DecodedImages:
        """Return the decoded images, after decoding those that are missing.

        `say` is told in one line what will be decoded, before it begins. Images that cannot be
        decoded are listed in `DecodedImages.bad`. Raises `UsageError` where space or permission is
        missing.
        """
        found = self._whole()
        if found is not None:
            return found
        try:
            self._files.folder.parent.mkdir(parents=True, exist_ok=True)
            with self._alone(say):
                return self._whole() or self._build(progress, say)
        except OSError as error:
            raise UsageError(
                f"cannot keep decoded images in {self._files.folder.parent} "
                f"({error.strerror or error}); {_OTHERWISE}"
            ) from error

    def _whole(self) -> DecodedImages | None:
        facts = self._files.read_facts()
        if facts is None or facts.stamps != self._files.stamps or not self._files.whole(facts):
            return None
        return DecodedImages(self._files.map(), facts.bad, None)

    @contextmanager
    def _alone(self, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the cache's lock, so that one process builds while others wait."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"another process decodes the images of {self._shown}; waiting until it ends")
            lock.acquire(poll_interval=1.0)
        try:
            yield
        finally:
            lock.release()

    def _build(self, progress: Progress, say: Callable[[str], None]) -> DecodedImages:
        files, target = self._partial, self._files.folder
        if target.exists():
            facts = self._files.read_facts()
            changed = facts is not None and facts.stamps != files.stamps
            what = "has images that have changed" if changed else "is damaged"
            say(f"{legible(str(target))} {what}; those images are decoded again")
            shutil.rmtree(files.folder, ignore_errors=True)
            target.rename(files.folder)
        self._require_space()
        self._name_unused(say)
        files.create()
        undone = files.undone()
        size = format_bytes(files.bytes)
        say(
            f"decoding {len(undone):,} images of {self._shown} once, to {files.side} x "
            f"{files.side} pixels: {size} in {legible(str(target))}"
        )
        bad = self._decode(undone, progress)
        files.write_facts(CacheFacts(self._shown, files.side, files.images, files.stamps, bad))
        files.folder.rename(target)
        built = f"decoded {len(undone):,} images to {files.side} x {files.side} pixels ({size})"
        return DecodedImages(self._files.map(), bad, built)

    def _require_space(self) -> None:
        needed = self._partial.bytes - self._partial.allocated()
        free = shutil.disk_usage(self._files.folder.parent).free
        if needed > free:
            raise UsageError(
                f"decoded images take {format_bytes(needed)}, and {self._files.folder.parent} has "
                f"{format_bytes(free)} free; free some space there, {_OTHERWISE}"
            )

    def _name_unused(self, say: Callable[[str], None]) -> None:
        """Say which caches of this folder are of an older version or of other images."""
        pattern = f"{glob.escape(self._stem)}-*/facts.json"
        for path in self._files.folder.parent.glob(pattern):
            if path.parent in (self._files.folder, self._partial.folder):
                continue
            other = PixelFiles(path.parent, np.empty(0, np.uint64), 0)
            facts = other.read_facts()
            if facts is None:
                why = "is of another version"
            elif (facts.source, facts.side) == (self._shown, self._files.side):
                why = "has other images than there are now"
            else:
                continue
            size = format_bytes(other.allocated())
            place = legible(str(path.parent))
            say(f"{place} {why} and is not used; delete it to free {size}")

    def _decode(self, indices: Sequence[int], progress: Progress) -> dict[int, str]:
        """Decode the images at `indices`; return index -> reason for those that fail."""
        workers = usable_cores() if len(indices) > _ALONE else 0
        paths = [str(self._root / path) for path in self._paths]
        loader: DataLoader[_Outcome] = DataLoader(
            _Decoding(paths, self._partial),
            sampler=indices,
            batch_size=_CHUNK,
            num_workers=workers,
            collate_fn=list,
            worker_init_fn=ending_with_this_process(),
        )
        bad = {}
        with progress.bar(f"decoding {legible(self._root.name)}", len(loader)) as step:
            for outcomes in loader:
                for index, error in outcomes:
                    if isinstance(error, OSError):
                        raise error
                    if isinstance(error, NotReadError):
                        raise UsageError(
                            f"cannot read {paths[index]} ({error}); run again when it can be, "
                            "what is decoded is kept"
                        )
                    if error is not None:
                        bad[index] = legible(str(error))
                step(f"{len(bad)} cannot be read" if bad else "")
        return dict(sorted(bad.items()))


class _Decoding(Dataset[_Outcome]):
    """Decodes an image into the files when its item is read, in whichever process that is."""

    def __init__(self, paths: Sequence[str], files: PixelFiles) -> None:
        self._paths, self._files = paths, files

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> _Outcome:
        try:
            self._files.write(index, rgb_square(self._paths[index], self._files.side))
        except (BadImageError, NotReadError, OSError) as error:
            return index, error
        return index, None


def _stem(name: str) -> str:
    """Return `name`, or a start of it and a hash where it is long or not UTF-8.

    File systems take at most 255 bytes, some encrypted ones 143; the cache adds some 30.
    """
    whole = os.fsencode(name)
    start = whole[:_LONGEST_STEM].decode(errors="ignore")
    if start == name:
        return name
    return f"{start}~{hashlib.sha256(whole).hexdigest()[:8]}"


def _key(paths: Sequence[str]) -> str:
    """Hash the images' names and the version of the cache."""
    digest = hashlib.sha256(f"{SCHEMA_VERSION}\n".encode())
    digest.update(os.fsencode("\n".join(paths)))
    return digest.hexdigest()[:16]


def _stamp(path: Path) -> int:
    """Hash the file's size and time."""
    try:
        stat = os.stat(path)
    except OSError as error:  # gone since the folder was read
        raise UsageError(f"cannot read {path}: {error.strerror}; run again") from error
    digest = hashlib.blake2b(f"{stat.st_size} {stat.st_mtime_ns}".encode(), digest_size=8)
    return int.from_bytes(digest.digest())
