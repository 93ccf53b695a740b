"""Finds the images below class folders: which names count, and where links lead."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from energybench.errors import UsageError, legible
from energybench.workloads.images.vision import torchvision

log = logging.getLogger(__name__)

SYSTEM_FOLDERS = frozenset(
    {"lost+found", "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information"}
)
"""Folders, in lower case, that file systems, archives and storage devices make on their own."""
_NAMED = 3
"""Most names in a line; the line gives the number of the others."""


@dataclass(frozen=True)
class ClassTree:
    """The class folders of one split, and their images."""

    folder: Path
    classes: tuple[str, ...]
    samples: list[tuple[str, int]]
    """Path and label of each image: by class, then by folder, then by name."""

    @property
    def labels(self) -> list[int]:
        """The label of each image."""
        return [label for _, label in self.samples]


class Finder:
    """Finds the images of a data set's splits; none of them may have two paths.

    An image with two paths could be both trained on and tested. Hidden files and folders are
    ignored, and so are those of the system, at every depth.
    """

    def __init__(self, root: Path) -> None:
        self.outward: dict[str, str] = {}
        """Each link that leads out of `root` -> where to. `root` itself may be a link."""
        self._real_root = os.path.realpath(root)
        self._folders: dict[str, str] = {}  # real path -> path
        self._links: dict[str, str] = {}  # linked image -> real path
        self._images: list[tuple[str, list[str]]] = []  # real folder, and its images

    def find(self, folder: Path) -> ClassTree:
        """Find the classes in `folder` and their images.

        A warning names the files that are not called images. Raises `UsageError` for a folder that
        cannot be read, without a class or with an empty one, and for one that has two paths.
        """
        others: list[str] = []
        real = self._entered(str(folder), os.path.realpath(folder), os.path.islink(folder))
        found = {
            entry.name: list(self._below(entry, real, others))
            for entry in _entries(str(folder))
            if _is_folder(entry)
        }
        empty = [name for name, images in found.items() if not images]
        if empty or not found:
            what = f"no image in {named(empty)}" if found else "no class folder"
            raise UsageError(
                f"{folder} has {what}; put at least one image into each class folder, or remove it"
            )
        if others:
            log.warning(
                "not used, as their names are not those of images: %s: %s",
                legible(str(folder)),
                named([os.path.relpath(path, folder) for path in others]),
            )
        samples = [(path, label) for label, paths in enumerate(found.values()) for path in paths]
        return ClassTree(folder, tuple(found), samples)

    def refuse_duplicates(self) -> None:
        """Raise `UsageError` if a link among all images found leads to another one of them."""
        if not self._links:
            return
        seen: dict[str, str] = {}
        for folder, images in self._images:
            for path in images:
                real = self._links.get(path) or os.path.join(folder, os.path.basename(path))
                if real in seen:
                    raise UsageError(
                        f"{seen[real]} and {path} are one image; delete one of the links"
                    )
                seen[real] = path

    def _below(
        self, folder: "os.DirEntry[str]", real_parent: str, others: list[str]
    ) -> Iterator[str]:
        """Yield the images below `folder`, in the order of their folders' paths, then of names."""
        files: dict[str, list[str]] = {}
        waiting = [(folder, real_parent)]
        while waiting:
            entry, above = waiting.pop()
            link = entry.is_symlink()
            real = os.path.realpath(entry.path) if link else os.path.join(above, entry.name)
            real = self._entered(entry.path, real, link)
            images = files[entry.path] = []
            self._images.append((real, images))
            for one in _entries(entry.path):
                if _is_folder(one):
                    waiting.append((one, real))
                elif _is_image(one):
                    images.append(one.path)
                    if one.is_symlink():
                        self._links[one.path] = os.path.realpath(one.path)
                        self._note_outward(one.path, self._links[one.path])
                else:
                    others.append(one.path)
        for _, images in sorted(files.items()):
            yield from images

    def _entered(self, path: str, real: str, is_link: bool) -> str:
        first = self._folders.setdefault(real, path)
        if first != path:
            raise UsageError(f"{first} and {path} are one folder; delete one of the links")
        if is_link:
            self._note_outward(path, real)
        return real

    def _note_outward(self, path: str, real: str) -> None:
        if os.path.commonpath([real, self._real_root]) != self._real_root:
            self.outward[path] = real


def named(names: list[str]) -> str:
    """Join the first names, and count the rest."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return legible(", ".join(names[:_NAMED]) + more)


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    """Return what counts in `folder`, by name."""
    try:
        with os.scandir(folder) as found:
            counted = [one for one in found if _counts(one.name)]
    except OSError as error:
        raise UsageError(
            f"cannot read {folder}: {error.strerror}; check its permissions"
        ) from error
    return sorted(counted, key=lambda one: one.name)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM_FOLDERS


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _is_image(entry: "os.DirEntry[str]") -> bool:
    """Return whether the name is an image's; a pipe or device, which may never end, is none."""
    if not entry.name.lower().endswith(torchvision.datasets.folder.IMG_EXTENSIONS):
        return False
    if not entry.is_symlink():
        return entry.is_file()
    return os.path.isfile(entry.path) or not os.path.exists(entry.path)  # to be named as missing
