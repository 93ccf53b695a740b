"""Saves untrained networks with a head for ten classes: a step costs the same with any weights.

python -m benchmarks.gpu.untrained FOLDER resnet50
"""

import sys
from collections.abc import Sequence
from pathlib import Path

CLASSES = 10


def save(folder: Path, models: Sequence[str], photographs: bool) -> None:
    """Write MODEL.safetensors into `folder` for each of `models`."""
    import torch
    from safetensors.torch import save_file

    from energybench.workloads.images.networks import find_model

    folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        torch.manual_seed(0)
        state = find_model(model).build(CLASSES, photographs).state_dict()
        save_file(state, folder / f"{model}.safetensors")


if __name__ == "__main__":
    save(Path(sys.argv[1]), sys.argv[2:], photographs=True)
