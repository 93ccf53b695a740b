"""An NVML of one GPU whose state is a file, so that several processes see the same GPU."""

import json
import os
from pathlib import Path
from typing import Any


class NVMLError(Exception):
    pass


class NVMLError_NoPermission(NVMLError):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


def _path() -> Path:
    return Path(os.environ["NVML_IN_A_FILE"])


def _state() -> dict[str, Any]:
    state: dict[str, Any] = json.loads(_path().read_text())
    return state


def nvmlInit() -> None:
    pass


def nvmlShutdown() -> None:
    pass


def nvmlDeviceGetCount() -> int:
    return 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    return index


def nvmlDeviceGetUUID(handle: int) -> str:
    return str(_state()["uuid"])


def nvmlDeviceGetName(handle: int) -> str:
    return "NVIDIA A100"


def nvmlDeviceGetMigMode(handle: int) -> list[int]:
    raise NVMLError_NotSupported("Not Supported")


def nvmlDeviceGetPowerManagementLimit(handle: int) -> int:
    return int(_state()["limit"])


def nvmlDeviceGetPowerManagementDefaultLimit(handle: int) -> int:
    return 400_000


def nvmlDeviceGetPowerManagementLimitConstraints(handle: int) -> list[int]:
    return [100_000, 400_000]


def nvmlDeviceSetPowerManagementLimit(handle: int, milliwatts: int) -> None:
    state = _state()
    if not state["permission"]:
        raise NVMLError_NoPermission("Insufficient Permissions")
    state["limit"] = milliwatts
    new = _path().with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(state))
    new.replace(_path())
