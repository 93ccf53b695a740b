"""Loads weights from files and from torchvision into a network. No pickle is ever executed."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from energybench.errors import UsageError
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.vision import torchvision

UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)
"""Errors that readers of checkpoints raise for files that are no checkpoints."""
_SUFFIXES = (".safetensors", ".pth", ".pt")


def find_checkpoint(path: str, model: str) -> Path:
    """Return the checkpoint of `model`: the file `path`, or <model>.<suffix> in the folder `path`.

    Raises `UsageError` if there is none.
    """
    given = Path(path).expanduser()
    if given.is_dir():
        for suffix in _SUFFIXES:
            if (given / f"{model}{suffix}").is_file():
                return given / f"{model}{suffix}"
        raise UsageError(f"no {model}.safetensors, .pth or .pt in {given}; put one there")
    if not given.is_file():
        raise UsageError(f"no weights at {given}; give a file, or a folder of <model>.safetensors")
    return given


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return name -> tensor from a safetensors file or a weights-only PyTorch checkpoint.

    The weights may be nested under "state_dict" or "model", and their names may start with
    "module.". Raises `UsageError` for anything else.
    """
    from safetensors.torch import load_file

    try:
        loaded: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except UNREADABLE as error:
        raise UsageError(
            f"cannot read weights from {path}: it is damaged or holds more than weights; "
            "delete it, or save a state_dict there with safetensors or torch.save"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UsageError(f"{path} holds no state_dict; save model.state_dict() there")
    return {str(name).removeprefix("module."): value for name, value in loaded.items()}


def download_imagenet_weights(spec: ModelSpec) -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights, downloaded once into torch's hub folder."""
    try:
        weights = torchvision.models.get_model_weights(spec.name).IMAGENET1K_V1
    except (ValueError, AttributeError) as error:
        raise UsageError(
            f"torchvision has no ImageNet weights for {spec.name}; name a checkpoint as weights"
        ) from error
    target = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if target.is_file():
        return read_checkpoint(target)
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"cannot download {weights.url} ({reason}); put that file at {target}, "
            "or name a checkpoint as weights"
        ) from error
    return state


def load_weights(
    model: nn.Module, spec: ModelSpec, state: Mapping[str, Tensor], origin: str
) -> bool:
    """Load `state` into `model`, in place; return whether the head has another size and is new.

    Entries of inception's auxiliary classifier are ignored. Anything else that does not fit raises
    `UsageError`, which names `origin` and the entry.
    """
    own = model.state_dict()
    state = {name: value for name, value in state.items() if not name.startswith("AuxLogits.")}
    head = {name for name in own if name.startswith(f"{spec.head}.")}
    replaced = any(name in state and state[name].shape != own[name].shape for name in head)
    fitting = {name: value for name, value in state.items() if not (replaced and name in head)}
    expected = {name: value for name, value in own.items() if not (replaced and name in head)}
    for name in sorted(expected.keys() ^ fitting.keys()):
        if not name.endswith("num_batches_tracked"):
            kind = "lacks" if name in expected else "has the unknown"
            raise UsageError(f"{origin} is not a {spec.name}: it {kind} {name}")
    for name, value in fitting.items():
        if name in own and own[name].shape != value.shape:
            raise UsageError(
                f"{origin} is not this {spec.name}: {name} is {tuple(value.shape)}, "
                f"expected {tuple(own[name].shape)}"
            )
    model.load_state_dict(fitting, strict=False)
    return replaced
