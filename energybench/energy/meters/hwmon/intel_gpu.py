"""Intel's discrete GPUs by the energy counter that their driver shows through hwmon.

The chips are called `i915` (`energy1_input` is the whole device; a chip `i915_gtN` is a part of
one) and `xe` (`energy1_input` is the card, `energy2_input` the package within it), see
`sysfs-driver-intel-i915-hwmon` and `sysfs-driver-intel-xe-hwmon` in Linux' `Documentation/ABI`. The
register below has 32 bits, and the driver notices its wrap-around only when it is read: after 4.36
minutes at 1,000 W (`xe_hwmon_energy_get` in `drivers/gpu/drm/xe/xe_hwmon.c`). Graphics within a
processor have no such counter; RAPL's package contains them.
"""

import platform
from collections.abc import Sequence
from pathlib import Path

from energybench.energy.machine import gpu_id
from energybench.energy.meters.base import MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.meters.hwmon.sensors import HWMON, CountedEnergy, Sensor, sensors
from energybench.energy.meters.sysfs import RegularReads, read_all
from energybench.energy.source import INTEL_GPU, Source

DRIVERS = ("i915", "xe")
READ_EVERY_S = 60.0
"""A quarter of the shortest time to a wrap-around."""


class IntelGpuMeter:
    """Reads the machine's only Intel GPU that counts its energy (`gpu:<id>`).

    `root` is the hwmon class folder. Raises `MeterAbsent` if there is none, and `MeterUnavailable`
    if there are several: none of them is known to be the one in use.
    """

    min_window_s = 2.0

    def __init__(self, root: str = HWMON) -> None:
        cards = _cards(list(sensors(Path(root))))
        if not cards:
            raise MeterAbsent("no Intel GPU that counts its energy")
        if len(cards) > 1:
            raise MeterUnavailable(
                f"{len(cards)} Intel GPUs, and none is known as the one in use; "
                "read one by hwmon, as --energy-hwmon=gpu=hwmon3/energy1"
            )
        self._counters = {f"gpu:{_id(sensor)}": CountedEnergy(sensor.file) for sensor in cards}
        self._reader = RegularReads(self._counters, READ_EVERY_S, "energybench-intel-gpu")

    @classmethod
    def open(cls, context: MeterContext) -> "IntelGpuMeter":
        """Read the GPU where the context leaves open which GPUs are in use."""
        if context.gpu_uuids is not None:
            raise MeterAbsent("no Intel GPU in use")
        return cls()

    def domains(self) -> dict[str, Source]:
        """`gpu:<id>`, the id made of the machine's name and the card's place on the PCI bus."""
        return dict.fromkeys(self._counters, INTEL_GPU)

    def read_joules(self) -> dict[str, float | MeterUnavailable]:
        """Joules since the meter was opened, or why the counter can no longer be read."""
        return read_all(self._counters)

    def background_cpu_s(self) -> float:
        """CPU seconds of the thread that watches for the wrap-around."""
        return self._reader.cpu_s

    def close(self) -> None:
        """End the thread."""
        self._reader.close()


def _cards(found: Sequence[Sensor]) -> list[Sensor]:
    """Per chip of Intel's drivers its first counter of energy: the whole card where it counts."""
    cards: dict[Path, Sensor] = {}
    for sensor in found:
        if sensor.chip in DRIVERS and sensor.counts:
            cards.setdefault(sensor.folder, sensor)
    return list(cards.values())


def _id(sensor: Sensor) -> str:
    place = (sensor.folder / "device").resolve().name
    return gpu_id(f"{platform.node()}/{place}")
