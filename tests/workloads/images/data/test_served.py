"""Batches out of the cache: what is random in them, and what must not be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from energybench.workloads.images.data.pixel_files import PixelFiles, PixelMap
from energybench.workloads.images.data.served import MEAN, STD, ServedBatches
from energybench.workloads.order import BatchOrder

SIDE, SIZE, IMAGES = 12, 8, 37
CPU = torch.device("cpu")


@pytest.fixture
def pixels(tmp_path: Path) -> PixelMap:
    """Squares in which every pixel's value says where it is: image, row, column."""
    files = PixelFiles(tmp_path, np.zeros(IMAGES, np.uint64), SIDE)
    files.create()
    for index in range(IMAGES):
        rows, columns = np.mgrid[:SIDE, :SIDE]
        square = np.stack([np.full_like(rows, index), rows, columns]).astype(np.uint8)
        files.write(index, square)
    return files.map()


@pytest.fixture
def served(pixels: PixelMap) -> Callable[..., ServedBatches]:
    def make(
        seed: int | None = 0, batch_size: int = 8, share: tuple[int, int] = (0, 1)
    ) -> ServedBatches:
        split = "test" if seed is None else "train"
        order = BatchOrder(split, IMAGES, batch_size, seed or 0, share)  # type: ignore[arg-type]
        labels = torch.arange(IMAGES) % 5
        return ServedBatches(pixels, range(IMAGES), labels, order, SIZE, CPU, seed)

    return make


def as_pixels(images: Tensor) -> Tensor:
    """Normalized images as the bytes that they were."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return ((images * std + mean) * 255).round().long()


def whole(batches: ServedBatches) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_evaluation_is_every_centre_in_order(served: Callable[..., ServedBatches]) -> None:
    images, labels = whole(served(None))
    assert images.shape == (IMAGES, 3, SIZE, SIZE)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    found = as_pixels(images)
    assert torch.equal(found[:, 0, 0, 0], torch.arange(IMAGES))
    assert torch.equal(labels, torch.arange(IMAGES) % 5)
    assert torch.equal(found[:, 1, :, 0], torch.arange(2, 10).expand(IMAGES, -1))
    assert torch.equal(found[:, 2, 0, :], torch.arange(2, 10).expand(IMAGES, -1))
    assert torch.equal(images, whole(served(None))[0])


def test_training_crops_are_whole_windows_half_of_them_mirrored(
    served: Callable[..., ServedBatches],
) -> None:
    batches = served()
    tops, lefts, mirrored = set(), set(), 0
    for _ in range(20):
        for images, labels in batches:
            found = as_pixels(images)
            assert torch.equal(labels, found[:, 0, 0, 0] % 5)
            steps = found[:, 2, 0, 1:] - found[:, 2, 0, :-1]
            assert (steps.abs() == 1).all()
            assert (steps == steps[:, :1]).all()
            assert (found[:, 1, 1:] - found[:, 1, :-1] == 1).all()
            mirrored += int((steps[:, 0] == -1).sum())
            tops |= set(found[:, 1, 0, 0].tolist())
            lefts |= set(found[:, 2, 0].amin(dim=1).tolist())
    assert tops == lefts == {0, 1, 2, 3, 4}
    assert 0.4 < mirrored / (20 * 32) < 0.6


def test_the_seed_fixes_every_epoch_and_each_is_another(
    served: Callable[..., ServedBatches],
) -> None:
    first, second = served(3), served(3)
    epochs = [whole(first)[0] for _ in range(2)]
    assert torch.equal(epochs[0], whole(second)[0])
    assert torch.equal(epochs[1], whole(second)[0])
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], whole(served(4))[0])


def test_skipping_epochs_goes_on_with_the_crops_of_the_next(
    served: Callable[..., ServedBatches],
) -> None:
    through, skipping = served(), served()
    for _ in range(2):
        whole(through)
    skipping.skip(2)
    assert torch.equal(whole(through)[0], whole(skipping)[0])


def test_ranks_together_have_the_images_of_one(served: Callable[..., ServedBatches]) -> None:
    for seed in (0, None):
        alone = served(seed)
        ranks = [served(seed, share=(rank, 3)) for rank in range(3)]
        if seed is None:
            together = torch.cat([whole(rank)[0] for rank in ranks])
            assert torch.equal(together, whole(alone)[0])
            continue
        for (images, labels), *shares in zip(alone, *ranks, strict=True):
            assert torch.equal(images, torch.cat([part for part, _ in shares]))
            assert torch.equal(labels, torch.cat([part for _, part in shares]))


def test_a_batch_that_is_kept_is_not_written_over(served: Callable[..., ServedBatches]) -> None:
    batches = served(None)
    kept = [(images, images.clone()) for images, _ in batches for _ in range(1)]
    views = [images[1:2, :1] for images, _ in batches]
    copies = [view.clone() for view in views]
    whole(batches)
    assert all(torch.equal(images, copy) for images, copy in kept)
    assert all(torch.equal(view, copy) for view, copy in zip(views, copies, strict=True))


def test_memory_is_used_again_once_no_tensor_lies_in_it(
    served: Callable[..., ServedBatches],
) -> None:
    batches = served()
    places = {images.data_ptr() for _ in range(5) for images, _ in batches}
    assert len(places) <= 2


def test_the_map_is_never_written(pixels: PixelMap, served: Callable[..., ServedBatches]) -> None:
    before = pixels.squares.clone()
    for images, _ in served():
        images.zero_()
    assert torch.equal(pixels.squares, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gets_the_same(pixels: PixelMap, served: Callable[..., ServedBatches]) -> None:
    order = BatchOrder("train", IMAGES, 8, 0)
    labels = torch.arange(IMAGES) % 5
    cuda = ServedBatches(pixels, range(IMAGES), labels, order, SIZE, torch.device("cuda"), 0)
    for (images, targets), (expected, same) in zip(cuda, served(), strict=True):
        assert images.device.type == "cuda"
        assert torch.allclose(images.cpu(), expected, atol=1e-6)
        assert torch.equal(targets.cpu(), same)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="not Linux")
def test_the_data_set_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Pages of the file can be dropped at any time; what stays is a few batches."""
    images, side = 300, 256
    files = PixelFiles(tmp_path, np.zeros(images, np.uint64), side)
    files.create()
    for index in range(images):
        files.write(index, np.full((3, side, side), index % 251, np.uint8))
    order, labels = BatchOrder("train", images, 4, 0), torch.zeros(images, dtype=torch.int64)
    batches = ServedBatches(files.map(), range(images), labels, order, 224, CPU, 0)
    next(iter(batches))
    before = own_memory()
    assert sum(len(images) for images, _ in batches) == images
    assert own_memory() - before < 0.2 * files.bytes


def own_memory() -> int:
    """Bytes of this process that are no file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon:"))
    return 1024 * int(line.split()[1])
