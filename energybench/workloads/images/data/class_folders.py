"""Labelled images in class folders: `train/`, `val/` and, where there is one, `test/`.

`valid/` and `validation/` are as good as `val/`. With `test/`, `val/` serves searches and early
stopping, and `test/` is reported. Without `test/`, `val/` is the test split, and a tenth of
`train/` (stratified by class) becomes the validation split. Nothing is tuned on the split that is
reported.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sklearn.model_selection import train_test_split

from energybench.errors import UsageError
from energybench.workloads.base import Split
from energybench.workloads.images.data.class_tree import ClassTree, Finder, named

_VALIDATION_NAMES = ("val", "valid", "validation")
_VALIDATION_SHARE = 0.1
_SPLIT_SEED = 0


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
    outward: Mapping[str, str]
    """Each link that leads out of `root` -> where to."""

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
        digest = hashlib.sha256(os.fsencode(f"{self.fingerprint} without\n{names}"))
        return replace(self, splits=splits, fingerprint=digest.hexdigest()[:16])


def find_images(root: Path) -> LabelledImages:
    """Find the images in the class folders of `root`.

    A warning names files without the suffix of an image; hidden files and folders, and those of the
    system, are ignored. Raises `UsageError` for missing folders, for splits with different classes,
    and for links to an image of another place in `root`.
    """
    finder = Finder(root)
    trees = {name: finder.find(folder) for name, folder in _split_folders(root).items()}
    finder.refuse_duplicates()
    train = trees["train"]
    for tree in trees.values():
        if tree.classes != train.classes:
            odd = sorted(set(tree.classes) ^ set(train.classes))
            raise UsageError(
                f"{tree.folder} and {train.folder} have different classes ({named(odd)}); give "
                "both the same class folders"
            )
    samples = [sample for tree in trees.values() for sample in tree.samples]
    start = f"{root}{os.sep}"
    paths = tuple(path.removeprefix(start) for path, _ in samples)  # relpath takes 10 us each
    splits = _splits(trees)
    digest = hashlib.sha256()
    for split, indices in sorted(splits.items()):
        for index in indices:
            size = _size(samples[index][0])
            digest.update(os.fsencode(f"{split}\0{paths[index]}\0{size}\n"))
    return LabelledImages(
        root=root,
        classes=len(train.classes),
        paths=paths,
        labels=tuple(label for _, label in samples),
        splits=splits,
        fingerprint=digest.hexdigest()[:16],
        outward=finder.outward,
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """Return `train`, `val` and, if there is one, `test` -> its folder."""
    validation = [name for name in _VALIDATION_NAMES if os.path.isdir(root / name)]
    if len(validation) > 1:
        raise UsageError(
            f"{root} has {' and '.join(validation)}; keep one of them, and call a split to report "
            "test"
        )
    named = {"train": "train", "val": validation[0] if validation else "val", "test": "test"}
    folders = {split: root / name for split, name in named.items() if os.path.isdir(root / name)}
    for needed in ("train", "val"):
        if needed not in folders:
            raise UsageError(
                f"{root / needed} is not a folder; a data set is a folder with train/ and val/ "
                "(and test/ if there is a third split), each with one folder per class"
            )
    return folders


def _splits(trees: Mapping[str, ClassTree]) -> dict[Split, list[int]]:
    """Return split -> indices of its images; indices run on from tree to tree."""
    whole: dict[str, list[int]] = {}
    start = 0
    for name, tree in trees.items():
        whole[name] = list(range(start, start + len(tree.samples)))
        start += len(tree.samples)
    if "test" in trees:
        return {"train": whole["train"], "validation": whole["val"], "test": whole["test"]}
    train = trees["train"]
    try:
        kept, validation = train_test_split(
            whole["train"],
            test_size=_VALIDATION_SHARE,
            stratify=train.labels,
            random_state=_SPLIT_SEED,
        )
    except ValueError as error:  # a class with one image, or fewer images than classes
        raise UsageError(
            f"{train.folder} is too small to take a stratified validation split from "
            f"({len(train.samples)} images, {len(train.classes)} classes{_single(train)}); add "
            "images or a test/ folder"
        ) from error
    return {"train": sorted(kept), "validation": sorted(validation), "test": whole["val"]}


def _single(tree: ClassTree) -> str:
    """Return a phrase that names the classes with one image, "" if there are none."""
    counts = Counter(tree.labels)
    single = [name for label, name in enumerate(tree.classes) if counts[label] == 1]
    return f", one image in {named(single)}" if single else ""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:  # for instance a link to nowhere
        raise UsageError(f"cannot read {path}: {error.strerror}; delete or replace it") from error
