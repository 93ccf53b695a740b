"""A stand-in for the module `amdsmi`, as of ROCm 6.3 or 7.0."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class AmdSmiException(Exception):
    pass


class AmdSmiLibraryException(AmdSmiException):
    def __str__(self) -> str:
        return "Error code:\n\t2 | AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported"


@dataclass(eq=False)
class FakeAmdGpu:
    uuid: str
    count: int | None = 1_000_000
    """None: a GPU that refuses to count; 0: one that does not count and says so by 0."""
    power: Mapping[str, object] | None = field(default_factory=lambda: {"average_socket_power": 90})
    """None: a GPU that refuses to tell its power."""
    hip_uuid: str | None = None
    """None: an AMD SMI older than 6.4."""


@dataclass
class FakeAmdSmi:
    """What the package uses of the module."""

    gpus: list[FakeAmdGpu]
    driver: bool = True
    sessions: int = 0
    count_field: str = "energy_accumulator"
    AmdSmiException = AmdSmiException

    def amdsmi_init(self) -> None:
        if not self.driver:
            raise AmdSmiLibraryException
        self.sessions += 1

    def amdsmi_shut_down(self) -> None:
        self.sessions -= 1

    def amdsmi_get_processor_handles(self) -> list[FakeAmdGpu]:
        return self.gpus

    def amdsmi_get_gpu_device_uuid(self, handle: FakeAmdGpu) -> str:
        return handle.uuid

    def amdsmi_get_gpu_enumeration_info(self, handle: FakeAmdGpu) -> dict[str, Any]:
        if handle.hip_uuid is None:
            raise AttributeError("amdsmi_get_gpu_enumeration_info")
        return {"drm_card": 0, "hip_id": 0, "hip_uuid": handle.hip_uuid}

    def amdsmi_get_energy_count(self, handle: FakeAmdGpu) -> dict[str, Any]:
        if handle.count is None:
            raise AmdSmiLibraryException
        return {self.count_field: handle.count, "counter_resolution": 15.3, "timestamp": 1}

    def amdsmi_get_power_info(self, handle: FakeAmdGpu) -> dict[str, Any]:
        if handle.power is None:
            raise AmdSmiLibraryException
        return dict(handle.power)
