"""Photographs in class folders, out of a cache of decoded squares or decoded as they are read.

Where `prepare` has made the cache, training crops are cut at random from squares a little larger
than they are; without it they are torchvision's `RandomResizedCrop`. Either is mirrored every
second time, and the other splits are the centre of the resized image.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from energybench.config import DataConfig
from energybench.errors import CellError, UsageError
from energybench.files import cache_folder
from energybench.progress import Progress
from energybench.workloads.images.data.base import Batches, Share, Split
from energybench.workloads.images.data.class_folders import LabelledImages, find_images, named
from energybench.workloads.images.data.decode import BadImageError, NotReadError, rgb
from energybench.workloads.images.data.order import BatchOrder, OrderedLoader
from energybench.workloads.images.data.pixel_cache import PixelCache
from energybench.workloads.images.data.pixel_files import PixelMap
from energybench.workloads.images.data.served import MEAN, STD, ServedBatches
from energybench.workloads.images.data.workers import ending_with_this_process
from energybench.workloads.images.vision import transforms

_RESIZE = 256 / 224
"""Shorter side before the crop, over the crop: the usual evaluation transform."""
_MOST_WORKERS = 8


class ImageFolders:
    """Class folders on disk."""

    imagenet_sized = True

    def __init__(self, root: str) -> None:
        self.name = f"folder:{root}"
        self._images = find_images(Path(root).expanduser())
        self.classes = self._images.classes
        self.fingerprint = self._images.fingerprint
        self._maps: dict[int, PixelMap] = {}
        self._bad: dict[int, str] = {}
        self._device = torch.device("cpu")

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Images per split."""
        return {name: len(indices) for name, indices in self._images.splits.items()}

    def served(self, image_size: int) -> dict[str, Any]:
        """How images get to that size, and which of the files are none."""
        pixels = self._maps.get(image_size)
        how = f"cached, {pixels.side} pixels" if pixels is not None else "decoded as read"
        skipped = sorted(f"{self._images.paths[i]}: {why}" for i, why in self._bad.items())
        return {"served": how, **({"skipped": skipped} if skipped else {})}

    def prepare(
        self,
        image_size: int,
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> str | None:
        """Decode every image into the cache, unless it is there or not wanted."""
        if config.cache == "off":
            if config.bad_images == "skip":
                raise UsageError(
                    "only the cache knows which images are bad; leave out --energy-data-cache=off "
                    "or --energy-bad-images=skip"
                )
            return None
        if image_size in self._maps:
            return None
        folder = Path(config.cache).expanduser() if config.cache else cache_folder("images")
        images = self._images
        cache = PixelCache(images.root, images.paths, round(image_size * _RESIZE), folder)
        decoded = cache.open(progress, say)
        self._leave_out(decoded.bad, config, say)
        self._maps[image_size] = decoded.pixels
        self._device = device
        return decoded.built

    def _leave_out(
        self, bad: Mapping[int, str], config: DataConfig, say: Callable[[str], None]
    ) -> None:
        new = {index: why for index, why in bad.items() if index not in self._bad}
        if not new:
            return
        images = self._images
        names = named([f"{images.paths[index]} ({why})" for index, why in new.items()])
        count = f"{len(new)} of {len(images.paths):,} images of {images.root} cannot be read"
        if config.bad_images == "refuse":
            raise UsageError(
                f"{count}: {names}; replace or delete them, or leave them out by "
                "--energy-bad-images=skip"
            )
        self._images = images.without(new)
        self.fingerprint = self._images.fingerprint
        self._bad |= new
        say(f"{count} and are left out: {names}")

    def batches(
        self, split: Split, image_size: int, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> Batches:
        """The split at `image_size` pixels; `train` with a random crop and flip."""
        if split not in self._images.splits:
            raise UsageError(f"{self.name} has no {split} split")
        indices = self._images.splits[split]
        train = split == "train"
        order = BatchOrder(split, len(indices), batch_size, seed, share)
        if image_size in self._maps:
            labels = torch.tensor([self._images.labels[index] for index in indices])
            return ServedBatches(
                self._maps[image_size],
                indices,
                labels,
                order,
                image_size,
                self._device,
                seed if train else None,
            )
        spare = max(0, len(os.sched_getaffinity(0)) // share[1] - 1)  # cores beside the trainer
        workers = min(_MOST_WORKERS, spare, len(order))
        return OrderedLoader(
            _Decoded(self._images, indices, _transform(image_size, train)),
            order,
            batch_sampler=order,
            generator=torch.Generator().manual_seed(seed + (share[0] << 32)),  # of the crops
            num_workers=workers,
            worker_init_fn=ending_with_this_process(),
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_initialized(),
        )


class _Decoded(Dataset[tuple[Tensor, int]]):
    """Images and labels of one split, decoded as they are asked for."""

    def __init__(self, images: LabelledImages, indices: list[int], transform: Any) -> None:
        self._images, self._indices, self._transform = images, indices, transform

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Raises `CellError` that names an image which is none, or cannot be read."""
        index = self._indices[number]
        path = self._images.full_path(index)
        try:
            image = rgb(path)
        except BadImageError as error:
            raise CellError(f"cannot read image {path} ({error}); replace or delete it") from error
        except NotReadError as error:
            raise CellError(f"cannot read image {path} ({error})") from error
        return self._transform(image), self._images.labels[index]


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
            transforms.Normalize(MEAN, STD),
        ]
    )


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
