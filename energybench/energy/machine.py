"""The stable facts that identify this machine and its software."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

from energybench import __version__

PACKAGES = ("torch", "torchvision", "energybench")
CPUINFO = "/proc/cpuinfo"
"""Names the processor on Linux."""


@dataclass(frozen=True)
class Machine:
    """The facts that two measurements on the same machine share.

    Nothing here changes from one run to the next: no clocks, loads or free memory.
    """

    cpu: str
    logical_cores: int | None
    physical_cores: int | None
    ram_gib: int
    gpus: list[dict[str, Any]]
    """Per GPU `id`, `name`, `power_limit_w` and `memory_gib`; an unknown fact is None."""
    nvidia_driver: str | None
    os: str
    python: str
    versions: dict[str, str | None]
    """Installed version per name in `PACKAGES`."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, equal for equal machines."""
        return asdict(self)

    def of_kind(self) -> "Machine":
        """The same facts for every machine of this kind: without the GPUs' own ids."""
        return replace(self, gpus=[{**gpu, "id": None} for gpu in self.gpus])

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; different machines have different ones."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_machine() -> Machine:
    """This machine; takes tens of milliseconds and does not import torch."""
    import psutil

    driver, gpus = _nvidia()
    return Machine(
        cpu=_cpu_model(),
        logical_cores=os.cpu_count(),
        physical_cores=psutil.cpu_count(logical=False),
        ram_gib=round(psutil.virtual_memory().total / 2**30),
        gpus=gpus,
        nvidia_driver=driver,
        os=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: _version(name) for name in PACKAGES},
    )


def gpu_id(uuid: str) -> str:
    """12 hexadecimal digits in place of a GPU's UUID, which identifies its owner's board."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:12]


def _cpu_model() -> str:
    with suppress(OSError), open(CPUINFO, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _version(package: str) -> str | None:
    try:
        return __version__ if package == "energybench" else metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _nvidia() -> tuple[str | None, list[dict[str, Any]]]:
    """The driver's version and the GPUs; (None, []) without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, or one that NVML cannot talk to
        return None, []
    try:
        driver = nvml_fact(pynvml, pynvml.nvmlSystemGetDriverVersion)
        return driver, list(_gpus(pynvml))
    finally:
        nvml_fact(pynvml, pynvml.nvmlShutdown)


def _gpus(nvml: Any) -> Iterator[dict[str, Any]]:
    for index in range(nvml_fact(nvml, nvml.nvmlDeviceGetCount) or 0):
        handle = nvml_fact(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
        uuid = handle and nvml_fact(nvml, nvml.nvmlDeviceGetUUID, handle)
        if not uuid:  # lost or forbidden
            continue
        limit_mw = nvml_fact(nvml, nvml.nvmlDeviceGetPowerManagementLimit, handle)
        memory = nvml_fact(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
        yield {
            "id": gpu_id(uuid),
            "name": nvml_fact(nvml, nvml.nvmlDeviceGetName, handle),
            "power_limit_w": None if limit_mw is None else round(limit_mw / 1e3),
            "memory_gib": None if memory is None else round(memory.total / 2**30),
        }


def nvml_fact(nvml: Any, query: Callable[..., Any], *arguments: Any) -> Any:
    """`query(*arguments)` of the pynvml module `nvml`; None if the GPU does not support it."""
    try:
        return query(*arguments)
    except nvml.NVMLError:  # not supported by this GPU
        return None
