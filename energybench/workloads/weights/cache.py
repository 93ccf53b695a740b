"""Files of pretrained weights with facts and a checksum in their metadata."""

import hashlib
import json
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from energybench.errors import UsageError
from energybench.files import publish

log = logging.getLogger(__name__)

_CHECKSUM = "checksum"


def save(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the model's weights to `path`, with `facts` as JSON in the file's metadata."""
    from safetensors.torch import save_file

    state: dict[str, Tensor] = {}
    kept: set[int] = set()  # tied parameters are written under the first of their names
    for name, value in model.state_dict().items():
        if value.data_ptr() not in kept or value.numel() == 0:
            state[name] = value.cpu().contiguous()
        kept.add(value.data_ptr())
    known = dict(facts) | {_CHECKSUM: checksum(state)}
    publish(path, lambda target: save_file(state, target, {"facts": json.dumps(known)}))


def read_facts(path: Path) -> dict[str, Any] | None:
    """Return the facts that `save` wrote to `path`; None when the file is missing or damaged.

    The weights are read once per process and file, and compared with their checksum.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    return _checked_facts(path, stat.st_size, stat.st_mtime_ns)


@cache
def _checked_facts(path: Path, size: int, mtime_ns: int) -> dict[str, Any] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError):
        return None
    if not isinstance(facts, dict):
        raise UsageError(f"{path} is not from energybench; move it elsewhere")
    expected = facts.pop(_CHECKSUM, None)
    if expected is None:  # an older version wrote none
        return None
    if expected != checksum(state):
        log.warning("%s is damaged; the network is pretrained again", path)
        return None
    return facts


def checksum(state: Mapping[str, Tensor]) -> str:
    """Return 16 hexadecimal digits that change with names, shapes, or any single element.

    Bytes are summed in 64 bits, as fast as memory allows. The sum is no defence against malice.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        raw = state[name].contiguous().reshape(-1).view(torch.uint8)
        words = raw[: raw.numel() // 4 * 4].view(torch.int32)
        sums = int(words.sum(dtype=torch.int64)), int(raw.sum(dtype=torch.int64))
        digest.update(f"{name}{tuple(state[name].shape)}{sums}".encode())
    return digest.hexdigest()[:16]
