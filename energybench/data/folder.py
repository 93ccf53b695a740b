"""Photographs in class folders: `train/`, `val/` and, where there is one, `test/`.

With a third split, `val/` serves searches and early stopping and `test/` is reported. Without it,
`val/` is the test split and every tenth image of `train/` (stratified by class) becomes
validation, so that nothing is tuned on the numbers that are reported.
"""

import copy
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, Subset

from energybench.data.base import Batches, Split
from energybench.errors import CellError, UsageError
from energybench.vision import torchvision, transforms

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, as torchvision's weights expect them."""
_RESIZE = 256 / 224
"""Shorter side before the centre crop, over the crop: the usual evaluation transform."""
_VALIDATION_SHARE = 0.1
_SPLIT_SEED = 0
_MOST_WORKERS = 8


class ImageFolders:
    """Class folders on disk, decoded as they are read."""

    imagenet_sized = True

    def __init__(self, root: str) -> None:
        self.name = f"folder:{root}"
        self._root = Path(root).expanduser()
        folders = {name: self._open(name) for name in _split_folders(self._root)}
        train = folders["train"]
        self.classes = len(train.classes)
        for name, folder in folders.items():
            if folder.classes != train.classes:
                odd = sorted(set(folder.classes) ^ set(train.classes))
                raise UsageError(
                    f"{self._root / name} and {self._root / 'train'} have different classes "
                    f"({', '.join(odd[:3])}); give both the same class folders"
                )
        self._splits = _splits(folders)
        self.fingerprint = self._fingerprint()

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Images per split."""
        return {name: len(indices) for name, (_, indices) in self._splits.items()}

    def batches(self, split: Split, image_size: int, batch_size: int, seed: int) -> Batches:
        """The split at `image_size` pixels; `train` with a random crop and flip."""
        if split not in self._splits:
            raise UsageError(f"{self.name} has no {split} split")
        folder, indices = self._splits[split]
        train = split == "train"
        transformed = copy.copy(folder)
        transformed.transform = _transform(image_size, train)
        data = Subset(transformed, indices)
        workers = min(_MOST_WORKERS, len(os.sched_getaffinity(0)) - 1, len(data) // batch_size)
        return DataLoader(
            data,
            batch_size=min(batch_size, len(data)),
            shuffle=train,
            drop_last=train,
            generator=torch.Generator().manual_seed(seed),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_initialized(),
        )

    def _open(self, split: str) -> Any:
        try:
            return torchvision.datasets.ImageFolder(str(self._root / split), loader=_decode)
        except FileNotFoundError as error:  # no class folder, or one without images
            reason = str(error).splitlines()[0].strip()
            raise UsageError(
                f"{self._root / split}: {reason} Put at least one image into each class folder."
            ) from error
        except OSError as error:
            raise UsageError(f"cannot read {error.filename}: {error.strerror}") from error

    def _fingerprint(self) -> str:
        """Over every split's relative file names and sizes; contents are not read."""
        digest = hashlib.sha256()
        for split, (folder, indices) in sorted(self._splits.items()):
            for index in indices:
                path = folder.samples[index][0]
                relative = os.path.relpath(path, self._root)
                digest.update(f"{split}\0{relative}\0{_size(path)}\n".encode())
        return digest.hexdigest()[:16]


def _split_folders(root: Path) -> list[str]:
    names = [name for name in ("train", "val", "test") if (root / name).is_dir()]
    for needed in ("train", "val"):
        if needed not in names:
            raise UsageError(
                f"{root / needed} is not a folder; a data set is a folder with train/ and val/ "
                "(and test/ if there is a third split), each with one folder per class"
            )
    return names


def _splits(folders: Mapping[str, Any]) -> dict[Split, tuple[Any, list[int]]]:
    """Split -> the folder it is in and the indices of its images there."""
    whole = {name: (folder, list(range(len(folder)))) for name, folder in folders.items()}
    if "test" in folders:
        return {"train": whole["train"], "validation": whole["val"], "test": whole["test"]}
    train, indices = whole["train"]
    try:
        kept, validation = train_test_split(
            indices,
            test_size=_VALIDATION_SHARE,
            stratify=train.targets,
            random_state=_SPLIT_SEED,
        )
    except ValueError as error:  # a class with one image, or fewer images than classes
        raise UsageError(
            f"{train.root} is too small to take a stratified validation split from "
            f"({len(train)} images, {len(train.classes)} classes); add images or a test/ folder"
        ) from error
    return {
        "train": (train, sorted(kept)),
        "validation": (train, sorted(validation)),
        "test": whole["val"],
    }


def _transform(image_size: int, train: bool) -> Any:
    geometry = (
        [transforms.RandomResizedCrop(image_size), transforms.RandomHorizontalFlip()]
        if train
        else [transforms.Resize(round(image_size * _RESIZE)), transforms.CenterCrop(image_size)]
    )
    return transforms.Compose(
        [
            transforms.PILToTensor(),
            *geometry,
            transforms.ToDtype(torch.float32, scale=True),
            transforms.Normalize(_MEAN, _STD),
        ]
    )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:  # for instance a link to nowhere
        raise UsageError(f"cannot read {path}: {error.strerror}; delete or replace it") from error


def _decode(path: str) -> Any:
    """The image at `path` in RGB; raises `CellError` naming it when it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CellError(f"cannot read image {path} ({error}); replace or delete it") from error


def open_folder(location: str = "") -> ImageFolders:
    """The data set for `--energy-dataset=folder:PATH`."""
    if not location:
        raise UsageError("--energy-dataset=folder needs a path: folder:PATH")
    return ImageFolders(location)


def open_imagenet(location: str = "") -> ImageFolders:
    """The data set for `--energy-dataset=imagenet:PATH`: class folders, 1,000 of them.

    Class folders in name order are ImageNet's own class order, which torchvision's heads expect.
    """
    if not location:
        raise UsageError("--energy-dataset=imagenet needs a path: imagenet:PATH")
    data = ImageFolders(location)
    if data.classes != 1000:
        raise UsageError(
            f"{location} has {data.classes} classes, ImageNet has 1000; "
            f"use --energy-dataset=folder:{location}"
        )
    data.name = f"imagenet:{location}"
    return data
