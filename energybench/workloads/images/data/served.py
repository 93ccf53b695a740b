"""Makes batches from cached squares: cropped, mirrored and normalized, on the training device."""

import weakref
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energybench.workloads.images.data.pixel_files import PixelMap
from energybench.workloads.order import BatchOrder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Statistics of ImageNet's training pixels, scaled to 0..1; torchvision's weights expect them."""

Batch = tuple[Tensor, Tensor]


class ServedBatches:
    """One split of a cache, batch by batch; see `ImageData.batches`.

    For training, each image is cropped at random from its square and mirrored with probability
    1/2. The seed, the epoch and the image alone decide the crop, not the batch. Other splits show
    the square's centre.
    """

    def __init__(
        self,
        pixels: PixelMap,
        rows: Sequence[int],
        labels: Tensor,
        order: BatchOrder,
        image_size: int,
        device: torch.device,
        seed: int | None,
    ) -> None:
        """Serve the squares of `pixels` at `rows`. Without a `seed` nothing is random."""
        self._pixels = pixels
        self._rows = np.asarray(rows)
        self._labels = labels
        self._order = order
        self._size = image_size
        self._seed = seed
        self._epoch = 0
        self._load = _ToGpu(device) if device.type == "cuda" else _ToCpu(image_size)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over one epoch, loading the next batch while the current one is used."""
        crops = self._crops(self._epoch)
        self._epoch += 1
        ready: Callable[[], Batch] | None = None
        for batch in self._order:
            rows = self._rows[batch]
            self._pixels.will_need(rows.tolist())
            windows = [
                self._pixels.squares[row, :, top : top + self._size, left : left + self._size]
                for row, (top, left, _) in zip(rows, crops[batch].tolist(), strict=True)
            ]
            mirrored = torch.from_numpy(crops[batch, 2] == 1)
            following = self._load.begin(windows, mirrored, self._labels[batch])
            if ready is not None:
                yield ready()
            ready = following
        if ready is not None:
            yield ready()

    def skip(self, epochs: int) -> None:
        """See `Batches.skip`; the crops, too, are those of the epoch after the skipped ones."""
        self._order.skip(epochs)
        self._epoch += epochs

    def _crops(self, epoch: int) -> NDArray[np.int64]:
        """Return (images, 3): top and left of each crop, and 1 where the image is mirrored."""
        spare = self._pixels.side - self._size
        if self._seed is None:
            return np.tile((spare // 2, spare // 2, 0), (len(self._rows), 1))
        chance = np.random.default_rng((self._seed, epoch))
        return chance.integers(0, (spare + 1, spare + 1, 2), (len(self._rows), 3))


class _ToCpu:
    """Normalizes crops one by one, while each is in the processor's cache."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._mean, self._scale = _normalization(torch.device("cpu"))
        self._buffers: dict[int, _Buffers] = {}

    def begin(
        self, windows: Sequence[Tensor], mirrored: Tensor, labels: Tensor
    ) -> Callable[[], Batch]:
        """Return a function that makes the batch; the system may read from the disk meanwhile."""
        return lambda: (self._images(windows, mirrored), labels)

    def _images(self, windows: Sequence[Tensor], mirrored: Tensor) -> Tensor:
        shape = (len(windows), 3, self._size, self._size)
        images = self._buffers.setdefault(len(windows), _Buffers(shape)).take()
        for image, window, mirror in zip(images, windows, mirrored.tolist(), strict=True):
            image.copy_(window.flip(2) if mirror else window).sub_(self._mean).mul_(self._scale)
        return images


class _ToGpu:
    """Sends crops as bytes from pinned memory, and normalizes them on the GPU in a side stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._mean, self._scale = _normalization(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))  # which computes mean and scale

    def begin(
        self, windows: Sequence[Tensor], mirrored: Tensor, labels: Tensor
    ) -> Callable[[], Batch]:
        """Start sending; return a function that hands the batch to the current stream."""
        staged = torch.empty((len(windows), *windows[0].shape), dtype=torch.uint8, pin_memory=True)
        torch.stack(list(windows), out=staged)
        with torch.cuda.stream(self._stream):
            pixels, mirror, targets = (
                tensor.to(self._device, non_blocking=True)
                for tensor in (staged, mirrored.pin_memory(), labels.pin_memory())
            )
            pixels = torch.where(mirror[:, None, None, None], pixels.flip(3), pixels)
            images = pixels.float().sub_(self._mean).mul_(self._scale)
            sent = self._stream.record_event()

        def received() -> Batch:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(sent)
            for tensor in (images, targets):
                tensor.record_stream(current)
            return images, targets

        return received


class _Buffers:
    """Memory for batches, reused once no tensor refers to it: new pages cost more than pixels."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._free: list[NDArray[np.float32]] = []

    def take(self) -> Tensor:
        """Return an uninitialized tensor of `shape`."""
        memory = self._free.pop() if self._free else np.empty(self._shape, np.float32)
        lent = memory.view()
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return torch.from_numpy(lent)


def _normalization(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the mean to subtract from pixels of 0..255 and the scale to multiply by; (3, 1, 1)."""
    mean, std = (255 * torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))
    return mean, 1 / std
