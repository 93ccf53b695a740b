"""Time the way of photographs to the training step, beside torchvision and PyTorch's loader.

    pytest -s benchmarks/test_instruments_data.py

The yardstick is one epoch of torchvision's `ImageFolder` and a `DataLoader` of two workers with the
standard training transform. Goals, per image: decode into the cache as fast as that epoch, and
twice as fast for photographs of 1,000 pixels and more; serve every later epoch eight times as fast.
All epochs end in normalized float32 batches of 224 pixels. Photographs are generated from noise
with the spectrum of natural images, so that they compress like photographs.
"""

import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.photographs import CLASSES, photographs

SIZE, BATCH, WORKERS = 224, 64, 2
ROUNDS = 3
SETS = {"500x375": (500, 375, 2000), "1600x1200": (1600, 1200, 200)}
"""Name -> width, height, photographs."""
CACHE_GOAL = {"500x375": 1.0, "1600x1200": 2.0}
EPOCH_GOAL = 8.0


@pytest.fixture(scope="module", params=list(SETS))
def data_set(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[str, Path]:
    """Return the name and the root of a new data set, whose files are in the page cache."""
    root = tmp_path_factory.mktemp(request.param)
    width, height, count = SETS[request.param]
    photographs(root, width, height, range(count), "train")
    photographs(root, width, height, range(CLASSES), "val")
    return request.param, root


def test_photographs(
    benchmark: Any, tell: Callable[..., None], data_set: tuple[str, Path], tmp_path: Path
) -> None:
    """Compare the loader's epoch with decoding into the cache and with an epoch out of it."""
    import torch

    from energybench.config import DataConfig
    from energybench.progress import Progress
    from energybench.workloads.images.data.folders import open_folder

    name, root = data_set
    count, cache = SETS[name][2], tmp_path / "cache"
    files = list((root / "train").rglob("*.jpg"))
    config, cpu = DataConfig(str(cache)), torch.device("cpu")
    theirs, building, ours = [], [], []

    def epoch(batches: Iterable[Any]) -> float:
        start = time.perf_counter()
        seen = sum(len(images) for images, _ in batches)
        return (time.perf_counter() - start) / seen

    for _ in range(ROUNDS):
        theirs.append(epoch(torchvision_loader(root)))
        shutil.rmtree(cache, ignore_errors=True)
        source = open_folder(str(root))
        start = time.perf_counter()
        data = source.prepare_sizes([SIZE], cpu, config, Progress(None), lambda line: None)
        building.append((time.perf_counter() - start) / (count + CLASSES))
        batches = data.batches("train", SIZE, BATCH, 0)
        epoch(batches)  # allocates its memory
        ours.append(epoch(batches))
    benchmark.pedantic(partial(epoch, batches), rounds=ROUNDS)

    loader, build, served = map(statistics.median, (theirs, building, ours))
    tell(
        photographs=name,
        kilobytes=sum(path.stat().st_size for path in random.sample(files, 100)) / 1e5,
        loader_images_per_s=1 / loader,
        cache_images_per_s=1 / build,
        epoch_images_per_s=1 / served,
        loader_over_cache=loader / build,
        loader_over_epoch=loader / served,
    )
    assert loader / build >= CACHE_GOAL[name]
    assert loader / served >= EPOCH_GOAL


def torchvision_loader(root: Path) -> Any:
    """Return the loader that most people use."""
    from torch.utils.data import DataLoader

    from energybench.workloads.images.vision import torchvision

    usual = torchvision.transforms
    transform = usual.Compose(
        [
            usual.RandomResizedCrop(SIZE),
            usual.RandomHorizontalFlip(),
            usual.ToTensor(),
            usual.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    folder = torchvision.datasets.ImageFolder(str(root / "train"), transform)
    return DataLoader(folder, BATCH, shuffle=True, num_workers=WORKERS)
