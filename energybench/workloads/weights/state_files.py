"""Reads weights from files and from torchvision. No code in a file is ever executed."""

import argparse
import functools
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from energybench.errors import UsageError, is_out_of_memory
from energybench.files import expanded
from energybench.workloads.images.networks import ModelSpec

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
CONTAINERS = (
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "state_dict_ema",
    "model_ema",
)
"""Names under which training scripts keep the weights: as trained, then as averaged."""
_SUFFIXES = (".safetensors", ".pth", ".pt")
_PATHLIB = ("pathlib", "pathlib._local")
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_SCALARS = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?US"


def find_checkpoint(path: str, model: str) -> Path:
    """Return the checkpoint of `model`: the file `path`, or <model>.<suffix> in the folder `path`.

    Raises `UsageError` if there is none.
    """
    if not path.strip():
        raise UsageError("weights is empty; give a file, or a folder of <model>.safetensors")
    given = expanded(str(path))
    if given.is_dir():
        for suffix in _SUFFIXES:
            if (given / f"{model}{suffix}").is_file():
                return given / f"{model}{suffix}"
        raise UsageError(f"no {model}.safetensors, .pth or .pt in {given}; put one there")
    if not given.is_file():
        raise UsageError(f"no weights at {given}; give a file, or a folder of <model>.safetensors")
    return given


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return name -> tensor, as the file has them: of safetensors, or of a PyTorch checkpoint.

    The weights may be in one of `CONTAINERS`, beside plain values, `argparse.Namespace` and NumPy
    scalars. Raises `UsageError` for anything else, with the name of the thing that is in the way.
    """
    loaded = _loaded(path)
    for _ in CONTAINERS:  # one within another
        if isinstance(loaded, Mapping):
            inner = (loaded.get(key) for key in CONTAINERS)
            loaded = next((one for one in inner if isinstance(one, Mapping) and one), loaded)
    if not isinstance(loaded, Mapping):
        raise UsageError(
            f"{path} holds a {type(loaded).__name__} and no state_dict; "
            "name a file of model.state_dict()"
        )
    state = OrderedDict((str(k), v) for k, v in loaded.items() if isinstance(v, Tensor))
    if not state:
        held = ", ".join(f"{key} ({type(one).__name__})" for key, one in [*loaded.items()][:5])
        raise UsageError(
            f"{path} holds no state_dict, but {held or 'nothing'}; "
            "name a file of model.state_dict()"
        )
    if hasattr(loaded, "_metadata"):  # versions of modules, which migrations of names go by
        state._metadata = loaded._metadata  # type: ignore[attr-defined]
    return state


def _loaded(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"), _plain_values_allowed():
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        if is_out_of_memory(error):
            raise
        raise UsageError(_why_unreadable(path, error)) from error


@contextmanager
def _plain_values_allowed() -> Iterator[None]:
    """Let the weights-only reader make what training scripts save beside weights: no code runs."""
    before = torch.serialization.get_safe_globals()  # leaving the block would take these away
    with torch.serialization.safe_globals([one for one in _plain() if one not in before]):
        yield


@functools.cache
def _plain() -> list[Any]:
    scalar = np.float64(0).__reduce__()[0]
    return [
        argparse.Namespace,
        np.dtype,
        *{type(np.dtype(code)) for code in _SCALARS},
        (scalar, "numpy._core.multiarray.scalar"),
        (scalar, "numpy.core.multiarray.scalar"),  # as NumPy 1 wrote it
        *((PurePath, f"{module}.{name}") for module in _PATHLIB for name in _PATHS),
    ]


def _why_unreadable(path: Path, error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"cannot read weights from {path}: {error.strerror}; name other weights"
    code = re.search(r"GLOBAL (\S+)|but got <class '([^']+)", text)
    if code is not None:
        return (
            f"{path} holds {code[1] or code[2]}, which only executing code could read; "
            "name a file of model.state_dict() alone"
        )
    if "TorchScript" in text:
        return f"{path} is a TorchScript program; name a file of its state_dict() instead"
    return (
        f"cannot read weights from {path}: it is damaged or no checkpoint, {_looks(path)}; "
        "copy it anew, or name another file, made by safetensors or torch.save"
    )


def _looks(path: Path) -> str:
    """Say in a few words what a file that is no checkpoint looks like."""
    with path.open("rb") as file:
        start = file.read(40)
    text = start.partition(b"\n")[0].decode("ascii", errors="replace").strip()
    if start.startswith(b"\x80"):
        return "a pickle that torch.save did not write"
    if not start:
        return "an empty file"
    plain = text.isascii() and text.isprintable() and not start.startswith(b"PK")
    return f"a text that begins with {text!r}" if plain and text else "cut short or overwritten"


def download_imagenet_weights(spec: ModelSpec) -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights, downloaded once into torch's hub folder."""
    from energybench.workloads.images.vision import torchvision

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
