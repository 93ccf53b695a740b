"""Labelled images in class folders: `train/`, `val/` and, where there is one, `test/`.

With `test/`, `val/` serves searches and early stopping, and `test/` is reported. Without `test/`,
`val/` is the test split, and a tenth of `train/` (stratified by class) becomes the validation
split. Nothing is tuned on the split that is reported.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.model_selection import train_test_split

from energybench.errors import UsageError
from energybench.workloads.base import Split
from energybench.workloads.images.vision import torchvision

log = logging.getLogger(__name__)

_VALIDATION_SHARE = 0.1
_SPLIT_SEED = 0
_NAMED = 3
"""Most files that a line names; the line gives the number of the others."""


@dataclass(frozen=True)
class LabelledImages:
    """Every image of a data set, in a fixed order, and the splits."""

    root: Path
    classes: int
    paths: tuple[str, ...]
    """Relative to `root`."""
    labels: tuple[int, ...]
    splits: Mapping[Split, list[int]]
    """Split -> indices of its images."""
    fingerprint: str
    """Hash of every split's paths and file sizes; contents are not read."""

    def full_path(self, index: int) -> str:
        """Return the path of the image at `index`."""
        return os.path.join(self.root, self.paths[index])

    def without(self, indices: Mapping[int, str]) -> "LabelledImages":
        """Return the images without those at `indices` (index -> reason); indices stay the same.

        Raises `UsageError` where a class of a split has no image left.
        """
        splits = {}
        for split, all_of_it in self.splits.items():
            kept = splits[split] = [index for index in all_of_it if index not in indices]
            lost = {self.labels[i] for i in all_of_it} - {self.labels[i] for i in kept}
            if lost:
                image = next(i for i in all_of_it if self.labels[i] in lost)
                raise UsageError(
                    f"no image of {os.path.dirname(self.full_path(image))} in the {split} split "
                    f"can be read ({self.paths[image]}: {indices[image]}); replace them"
                )
        names = "\n".join(sorted(self.paths[index] for index in indices))
        digest = hashlib.sha256(f"{self.fingerprint} without\n{names}".encode())
        return LabelledImages(
            self.root, self.classes, self.paths, self.labels, splits, digest.hexdigest()[:16]
        )


def named(lines: list[str]) -> str:
    """Join the first lines, and count the rest."""
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return ", ".join(lines[:_NAMED]) + more


def find_images(root: Path) -> LabelledImages:
    """Find the images in the class folders of `root`.

    A warning names files without the suffix of an image; hidden files are ignored. Raises
    `UsageError` for missing folders, for splits with different classes, and for links that lead out
    of `root` or to an image of another place in `root`.
    """
    folders = {name: _open(root / name) for name in _split_folders(root)}
    _refuse_links(root, folders)
    train = folders["train"]
    for name, folder in folders.items():
        if folder.classes != train.classes:
            odd = sorted(set(folder.classes) ^ set(train.classes))
            raise UsageError(
                f"{root / name} and {root / 'train'} have different classes "
                f"({', '.join(odd[:_NAMED])}); give both the same class folders"
            )
    samples = [sample for folder in folders.values() for sample in folder.samples]
    start = f"{root}{os.sep}"
    paths = tuple(path.removeprefix(start) for path, _ in samples)  # relpath takes 10 us each
    splits = _splits(folders)
    digest = hashlib.sha256()
    for split, indices in sorted(splits.items()):
        for index in indices:
            size = _size(samples[index][0])
            digest.update(f"{split}\0{paths[index]}\0{size}\n".encode())
    labels = tuple(label for _, label in samples)
    return LabelledImages(root, len(train.classes), paths, labels, splits, digest.hexdigest()[:16])


def _split_folders(root: Path) -> list[str]:
    names = [name for name in ("train", "val", "test") if (root / name).is_dir()]
    for needed in ("train", "val"):
        if needed not in names:
            raise UsageError(
                f"{root / needed} is not a folder; a data set is a folder with train/ and val/ "
                "(and test/ if there is a third split), each with one folder per class"
            )
    return names


def _open(folder: Path) -> Any:
    others: list[str] = []

    def is_image(path: str) -> bool:
        name = os.path.basename(path)
        if name.startswith("."):
            return False
        if name.lower().endswith(torchvision.datasets.folder.IMG_EXTENSIONS):
            return True
        others.append(os.path.relpath(path, folder))
        return False

    try:
        found = torchvision.datasets.ImageFolder(str(folder), is_valid_file=is_image)
    except FileNotFoundError as error:  # no class folder, or one without images
        reason = str(error).splitlines()[0].strip()
        raise UsageError(
            f"{folder}: {reason} Put at least one image into each class folder."
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from error
    if others:
        log.warning(
            "not used, as their names are not those of images: %s: %s", folder, named(others)
        )
    return found


def _refuse_links(root: Path, folders: Mapping[str, Any]) -> None:
    """Raise `UsageError` for links that lead out of `root`, or to an image that has two paths.

    `root` itself may be a link. An image with two paths could be both trained on and tested.
    """
    real_root = os.path.realpath(root)
    samples = [path for folder in folders.values() for path, _ in folder.samples]
    places = dict.fromkeys(os.path.dirname(path) for path in samples)
    real_folders = {place: os.path.realpath(place) for place in places}
    links = {path: os.path.realpath(path) for path in samples if os.path.islink(path)}
    for place, real in (*real_folders.items(), *links.items()):
        if os.path.commonpath([real, real_root]) != real_root:
            behind = "" if os.path.islink(place) else "behind "
            raise UsageError(
                f"{place} is {behind}a link out of {root}, to {real}; copy what it points "
                "to, or name the folder where it is"
            )
    if not links and len(set(real_folders.values())) == len(real_folders):
        return
    seen: dict[str, str] = {}
    for path in samples:
        folder, name = os.path.split(path)
        real = links.get(path) or os.path.join(real_folders[folder], name)
        if real in seen:
            raise UsageError(f"{seen[real]} and {path} are one image; delete one of the links")
        seen[real] = path


def _splits(folders: Mapping[str, Any]) -> dict[Split, list[int]]:
    """Return split -> indices of its images; indices run on from folder to folder."""
    whole: dict[str, list[int]] = {}
    start = 0
    for name, folder in folders.items():
        whole[name] = list(range(start, start + len(folder)))
        start += len(folder)
    if "test" in folders:
        return {"train": whole["train"], "validation": whole["val"], "test": whole["test"]}
    train = folders["train"]
    try:
        kept, validation = train_test_split(
            whole["train"],
            test_size=_VALIDATION_SHARE,
            stratify=train.targets,
            random_state=_SPLIT_SEED,
        )
    except ValueError as error:  # a class with one image, or fewer images than classes
        raise UsageError(
            f"{train.root} is too small to take a stratified validation split from "
            f"({len(train)} images, {len(train.classes)} classes{_single(train)}); add images or "
            "a test/ folder"
        ) from error
    return {"train": sorted(kept), "validation": sorted(validation), "test": whole["val"]}


def _single(folder: Any) -> str:
    """Return a phrase that names the classes with one image, "" if there are none."""
    counts = Counter(folder.targets)
    single = [name for label, name in enumerate(folder.classes) if counts[label] == 1]
    return f", one image in {named(single)}" if single else ""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:  # for instance a link to nowhere
        raise UsageError(f"cannot read {path}: {error.strerror}; delete or replace it") from error
