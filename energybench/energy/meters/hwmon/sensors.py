"""The sensors under `/sys/class/hwmon`, and the joules of one.

Linux' documentation (`Documentation/ABI/testing/sysfs-class-hwmon`) fixes names and units. Each
chip is a folder `hwmonN` with its `name`. `energyM_input` is cumulative energy in microjoules,
`powerM_average` and `powerM_input` are microwatts, `..._label` names the sensor,
`powerM_average_interval` and `update_interval` are milliseconds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from energybench.energy.meters.base import Gauge, MeterUnavailable
from energybench.energy.meters.polling import PERIOD_S, PolledPower
from energybench.energy.meters.sysfs import number_or_none, read_number, text_of
from energybench.energy.source import HWMON_ENERGY, HWMON_POWER

HWMON = "/sys/class/hwmon"


@dataclass(frozen=True)
class Sensor:
    """One sensor of energy or power."""

    folder: Path
    """Its chip: `/sys/class/hwmon/hwmon3`."""
    chip: str
    """The chip's name, as its driver gives it: "ina226"."""
    name: str
    """The sensor's name in its folder: "power1"."""
    label: str
    """What the driver calls it; "" if it does not."""
    file: Path
    """Its reading: microjoules, or microwatts."""

    @property
    def counts(self) -> bool:
        """Whether it counts energy; otherwise it tells power."""
        return self.name.startswith("energy")

    @property
    def update_s(self) -> float | None:
        """Seconds between its updates, as its driver states them; None if it does not."""
        interval = number_or_none(self.folder / f"{self.name}_average_interval")
        found = interval or number_or_none(self.folder / "update_interval")
        return found / 1e3 if found else None

    def __str__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        return f"{self.chip}/{self.name}{label}"


def sensors(root: Path) -> Iterator[Sensor]:
    """Yield the sensors of energy and power under `root`, in the order of their numbers."""
    for folder in sorted(root.glob("hwmon*"), key=_number):
        chip = text_of(folder / "name")
        for kind, endings in (("energy", ("input",)), ("power", ("average", "input"))):
            names = {
                match[1]
                for file in folder.glob(f"{kind}*_*")
                if (match := re.fullmatch(rf"({kind}\d+)_(?:{'|'.join(endings)})", file.name))
            }
            for name in sorted(names, key=lambda text: int(text.removeprefix(kind))):
                files = (folder / f"{name}_{ending}" for ending in endings)
                file = next(file for file in files if file.exists())
                yield Sensor(folder, chip, name, text_of(folder / f"{name}_label"), file)


def _number(folder: Path) -> int:
    digits = folder.name.removeprefix("hwmon")
    return int(digits) if digits.isdigit() else -1


def gauge(sensor: Sensor) -> Gauge:
    """Start to read `sensor`; raises `MeterUnavailable` if it cannot be read."""
    return CountedEnergy(sensor.file) if sensor.counts else _Polled(sensor.file)


class CountedEnergy:
    """A counter in microjoules, which the kernel widens to 64 bits; it only goes back if reset."""

    source = HWMON_ENERGY
    cpu_s = 0.0

    def __init__(self, file: Path) -> None:
        self._file = file
        self._start_uj = self._last_uj = read_number(file)

    def joules(self) -> float:
        """Joules since construction; raises `MeterUnavailable`."""
        now_uj = read_number(self._file)
        if now_uj < self._last_uj:
            raise MeterUnavailable(
                f"the counter {self._file} went backwards (was its driver loaded anew?)"
            )
        self._last_uj = now_uj
        return (now_uj - self._start_uj) / 1e6

    def close(self) -> None:
        """Nothing to release."""


class _Polled(PolledPower):
    source = HWMON_POWER

    def __init__(self, file: Path) -> None:
        super().__init__(lambda: read_number(file) / 1e6, PERIOD_S)
