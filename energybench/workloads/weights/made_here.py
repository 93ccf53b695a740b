"""Weights that are trained here, once: their cache key, their file, and what is known of them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from energybench.files import cache_folder
from energybench.workloads.weights.cache import read_facts


def key_of(facts: Mapping[str, Any], device: torch.device, threads: int) -> str:
    """Return the cache key: 16 hexadecimal digits that change with all that can change the weights.

    `facts` has a model, its data, recipe and seed, as JSON. Versions, the kind of device and the
    number of threads are added here: on a CPU, sums depend on the threads.
    """
    known = {
        **facts,
        "energybench": metadata.version("energybench"),
        "torch": torch.__version__,
        "device": device.type,
        "threads": threads,
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def file_of(model: str, key: str) -> Path:
    """Return the file of the weights in the cache, whether it exists or not."""
    return cache_folder("pretrained") / f"{model}-{key}.safetensors"


def facts_of(path: Path, key: str) -> dict[str, Any]:
    """Return what `save` wrote beside the weights of `key`; {} if they are missing or damaged."""
    found = read_facts(path)
    return found if found is not None and found.get("key") == key else {}


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
