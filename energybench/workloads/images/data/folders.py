"""Photographs in class folders, out of a cache of decoded squares or decoded as they are read.

Preparation fills the cache. Training crops are then cut at random from squares a little larger than
the crops. Without the cache, training crops are torchvision's `RandomResizedCrop`. Both are
mirrored with probability 1/2. The other splits show the centre of the resized image.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from energybench.config import DataConfig
from energybench.energy.cores import usable_cores
from energybench.errors import CellError, UsageError, legible
from energybench.files import cache_folder, expanded
from energybench.progress import Progress
from energybench.workloads.base import Batches, Share, Split
from energybench.workloads.images.data.class_folders import LabelledImages, find_images
from energybench.workloads.images.data.class_tree import named
from energybench.workloads.images.data.decode import BadImageError, NotReadError, rgb
from energybench.workloads.images.data.pixel_cache import PixelCache
from energybench.workloads.images.data.pixel_files import PixelMap
from energybench.workloads.images.data.served import MEAN, STD, ServedBatches
from energybench.workloads.images.data.workers import ending_with_this_process
from energybench.workloads.images.networks import find_model
from energybench.workloads.images.task import ImageClassification
from energybench.workloads.images.vision import transforms
from energybench.workloads.order import BatchOrder, OrderedLoader

_RESIZE = 256 / 224
"""Shorter side before the crop, over the crop: the usual evaluation transform."""
_MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class ImageFolders:
    """Class folders on disk, prepared; an `ImageData`. `FolderSource.prepare` makes one."""

    name: str
    images: LabelledImages
    """Without the images that are left out."""
    device: torch.device
    """The device that cached images are served on."""
    maps: Mapping[int, PixelMap] = field(default_factory=dict)
    """Image size -> the cache that images of this size are cut from."""
    bad: Mapping[int, str] = field(default_factory=dict)
    """Index of an image that is left out -> why."""
    built: tuple[str, ...] = ()
    models: frozenset[str] = frozenset()
    photographs = True

    @property
    def classes(self) -> int:
        """Number of class folders."""
        return self.images.classes

    @property
    def fingerprint(self) -> str:
        """Hash of every split's file names and sizes, and of the images left out."""
        return self.images.fingerprint

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Images per split."""
        return {name: len(indices) for name, indices in self.images.splits.items()}

    def served(self, image_size: int) -> dict[str, Any]:
        """Return how images get to that size, and the images left out with the reasons."""
        pixels = self.maps.get(image_size)
        how = f"cached, {pixels.side} pixels" if pixels is not None else "decoded as read"
        skipped = sorted(legible(f"{self.images.paths[i]}: {why}") for i, why in self.bad.items())
        return {"served": how, **({"skipped": skipped} if skipped else {})}

    def task(self, model: str, weights: str | None, device: torch.device) -> ImageClassification:
        """Return the task of training `model` on these images."""
        return ImageClassification.named(model, self, weights, device)

    def batches(
        self, split: Split, image_size: int, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> Batches:
        """Return the split at `image_size` pixels; `train` with a random crop and flip.

        Raises `UsageError` for a split that class folders do not have, such as `pretrain`.
        """
        if split not in self.images.splits:
            raise UsageError(f"{self.name} has no {split} split")
        indices = self.images.splits[split]
        train = split == "train"
        order = BatchOrder(split, len(indices), batch_size, seed, share)
        if image_size in self.maps:
            labels = torch.tensor([self.images.labels[index] for index in indices])
            return ServedBatches(
                self.maps[image_size],
                indices,
                labels,
                order,
                image_size,
                self.device,
                seed if train else None,
            )
        spare = max(0, usable_cores() // share[1] - 1)  # one core is the trainer's
        workers = min(_MOST_WORKERS, spare, len(order))
        return OrderedLoader(
            _Decoded(self.images, indices, _transform(image_size, train)),
            order,
            batch_sampler=order,
            generator=torch.Generator().manual_seed(seed + (share[0] << 32)),  # of the crops
            num_workers=workers,
            worker_init_fn=ending_with_this_process(),
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_initialized(),
        )


@dataclass(frozen=True)
class FolderSource:
    """The `Source` of `ImageFolders`: class folders that have been found and not yet decoded."""

    name: str
    images: LabelledImages

    def prepare(
        self,
        models: Sequence[str],
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> ImageFolders:
        """Decode the images for the image sizes of `models`, see `prepare_sizes`."""
        sizes = {find_model(model).pixels(photographs=True) for model in models}
        prepared = self.prepare_sizes(sorted(sizes), device, config, progress, say)
        return replace(prepared, models=frozenset(models))

    def prepare_sizes(
        self,
        image_sizes: Sequence[int],
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> ImageFolders:
        """Decode every image into a cache per image size, unless it is there or `config` has none.

        Images of any other size are decoded as they are read. Images that cannot be decoded raise
        `UsageError` or are left out, as `config.bad_images` says. Links out of the folder raise it
        or are followed, as `config.links` says.
        """
        _check_links(self.images, config, say)
        if config.cache == "off":
            if config.bad_images == "skip":
                raise UsageError(
                    "only the cache knows which images are bad; leave out cache off or "
                    "bad_images skip"
                )
            return ImageFolders(self.name, self.images, device)
        images = self.images
        maps: dict[int, PixelMap] = {}
        bad: dict[int, str] = {}
        built: list[str] = []
        for size in image_sizes:
            folder = expanded(config.cache) if config.cache else cache_folder("images")
            cache = PixelCache(images.root, images.paths, round(size * _RESIZE), folder)
            decoded = cache.open(progress, say)
            new = {index: why for index, why in decoded.bad.items() if index not in bad}
            if new:
                images = _without(images, new, config, say)
            bad |= new
            maps[size] = decoded.pixels
            if decoded.built is not None:
                built.append(decoded.built)
        return ImageFolders(self.name, images, device, maps, bad, tuple(built))


def _check_links(images: LabelledImages, config: DataConfig, say: Callable[[str], None]) -> None:
    """Refuse links out of the data set's folder, or say where they lead, as `config` says."""
    for place, real in images.outward.items():
        if config.links == "refuse":
            raise UsageError(
                f"{place} is a link out of {images.root}, to {real}; follow such links by "
                "--energy-links=follow, copy what it points to, or name the folder where it is"
            )
    if images.outward:
        leads = [f"{place} to {real}" for place, real in images.outward.items()]
        say(f"links out of {legible(str(images.root))} are followed: {named(leads)}")


def _without(
    images: LabelledImages,
    bad: Mapping[int, str],
    config: DataConfig,
    say: Callable[[str], None],
) -> LabelledImages:
    """Return `images` without `bad` ones, if `config` allows that, and say which they are."""
    names = named([f"{images.paths[index]} ({why})" for index, why in bad.items()])
    root = legible(str(images.root))
    count = f"{len(bad)} of {len(images.paths):,} images of {root} cannot be read"
    if config.bad_images == "refuse":
        raise UsageError(
            f"{count}: {names}; replace or delete them, or leave them out by bad_images skip"
        )
    kept = images.without(bad)
    say(f"{count} and are left out: {names}")
    return kept


class _Decoded(Dataset[tuple[Tensor, int]]):
    """Images and labels of one split, decoded as they are asked for."""

    def __init__(self, images: LabelledImages, indices: list[int], transform: Any) -> None:
        self._images, self._indices, self._transform = images, indices, transform

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Return one image and its label; raises `CellError` that names an unreadable file."""
        index = self._indices[number]
        path = self._images.full_path(index)
        try:
            image = rgb(path)
        except BadImageError as error:
            raise CellError(f"cannot read image {path} ({error}); replace or delete it") from error
        except NotReadError as error:
            raise CellError(f"cannot read image {path} ({error}); check its disk") from error
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


def open_folder(location: str = "") -> FolderSource:
    """Open the data set `folder:PATH`; raises `UsageError` unless PATH has class folders."""
    if not location:
        raise UsageError("the data set folder needs a path: folder:PATH")
    return FolderSource(legible(f"folder:{location}"), find_images(expanded(location)))


def open_imagenet(location: str = "") -> FolderSource:
    """Open the data set `imagenet:PATH`; raises `UsageError` unless PATH has 1,000 classes.

    Class folders in the order of their names are in ImageNet's own class order, which torchvision's
    heads expect.
    """
    if not location:
        raise UsageError("the data set imagenet needs a path: imagenet:PATH")
    found = open_folder(location)
    if found.images.classes != 1000:
        raise UsageError(
            f"{location} has {found.images.classes} classes, ImageNet has 1000; "
            f"use dataset folder:{location}"
        )
    return replace(found, name=legible(f"imagenet:{location}"))
