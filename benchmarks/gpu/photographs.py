"""Makes a folder of photographs.

    python -m benchmarks.gpu.photographs FOLDER 20000

They are noise with the spectrum of natural images, so that they compress like photographs. A folder
that is there already is left as it is.
"""

import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

CLASSES = 10
SHARE_OF_VALIDATION = 20
"""One photograph in so many is for validation, and as many are for the test."""
WIDTH, HEIGHT = 500, 375
PART = 500
"""Photographs that one process makes at a time."""


def photographs(root: Path, width: int, height: int, numbers: range, split: str) -> None:
    """Write a JPEG per number into the folders of the classes of `split`."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng((numbers.start, len(split)))
    fields = [natural_noise(chance, 2 * height, 2 * width) for _ in range(6)]
    for number in numbers:
        folder = root / split / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        picked = chance.choice(len(fields), 3, replace=False)
        top, left = chance.integers(0, (height, width))
        crops = [fields[i][top : top + height, left : left + width] for i in picked]
        gray, *tint = crops
        bands = [gray, gray + 0.4 * tint[0], gray + 0.4 * tint[1]]
        pixels = np.stack([128 + 45 * band for band in bands], axis=2).clip(0, 255)
        image = Image.fromarray(pixels.astype(np.uint8))
        image.save(folder / f"{number}.jpg", quality=90)


def natural_noise(chance: Any, height: int, width: int) -> Any:
    """Return a field (height, width) of variance 1; amplitudes fall with frequency."""
    import numpy as np

    spectrum = np.fft.rfft2(chance.standard_normal((height, width)))
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    spectrum /= np.maximum(np.hypot(rows, columns), 1 / width) ** 1.2
    field = np.fft.irfft2(spectrum, (height, width))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def make_folder(root: Path, count: int) -> None:
    """Write `count` photographs for training and some to judge by, on all processors.

    The folder gets its name when it is whole.
    """
    if root.exists():
        return
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    judged = max(CLASSES, count // SHARE_OF_VALIDATION)
    sizes = {"train": count, "val": judged, "test": judged}
    jobs = [
        (range(first, min(first + PART, size)), split)
        for split, size in sizes.items()
        for first in range(0, size, PART)
    ]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        made = [
            pool.submit(photographs, unfinished, WIDTH, HEIGHT, numbers, split)
            for numbers, split in jobs
        ]
        for one in made:
            one.result()
    unfinished.rename(root)


if __name__ == "__main__":
    make_folder(Path(sys.argv[1]), int(sys.argv[2]))
