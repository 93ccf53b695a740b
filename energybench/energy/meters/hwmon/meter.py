"""Sensors of a board, where the kernel or the user knows what they cover.

The kernel documents one chip well enough: `amd_energy` has a counter per socket, labelled
`EsocketN`, beside those of single cores (`Documentation/hwmon/amd_energy.rst`). Other chips
(ina226, scmi_sensors, power_meter, ...) measure rails that only the maker of the board can tell:
those are read where the user declares them.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from energybench.energy.coverage import kind_of
from energybench.energy.meters.base import Gauge, MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.meters.hwmon.sensors import HWMON, Sensor, gauge, sensors
from energybench.energy.meters.polling import PERIOD_S
from energybench.energy.meters.sysfs import read_all
from energybench.energy.source import Source
from energybench.errors import UsageError

_DECLARED = re.compile(r"(?P<kind>[a-z][a-z0-9_]*)=(?P<chip>[^/]+)/(?P<sensor>.+)")
_WINDOW_UPDATES = 20


def declared(text: str) -> tuple[str, str, str]:
    """The kind, the chip and the sensor in `KIND=CHIP/SENSOR`; raises `UsageError`."""
    found = _DECLARED.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"{text[:100]!r} declares no sensor; write KIND=CHIP/SENSOR, as cpu=ina226/power1"
        )
    return found["kind"], found["chip"], found["sensor"]


class HwmonMeter:
    """Reads AMD's sockets by `amd_energy` (`cpu:<N>`), and the sensors that `own` declares.

    `own` has texts as in `declared`; a chip may be its name or its folder (`hwmon3`), a sensor its
    name (`power1`) or its label. A kind that is declared is read from there alone. `skip` has the
    kinds that another meter reads. Counters are read, and power is polled ten times a second.
    Raises `UsageError` for a text that declares nothing, and `MeterUnavailable` if a sensor is not
    there or cannot be read.
    """

    def __init__(
        self, own: Sequence[str] = (), skip: Collection[str] = (), root: str = HWMON
    ) -> None:
        found = list(sensors(Path(root)))
        chosen = {_domain(*declared(text)): _named(text, found) for text in own}
        taken = {kind_of(domain) for domain in chosen}
        chosen |= {
            domain: sensor
            for domain, sensor in _known(found)
            if kind_of(domain) not in taken and kind_of(domain) not in skip
        }
        if not chosen:
            raise MeterAbsent(_why_nothing(found, root))
        updates = [sensor.update_s or 0.0 for sensor in chosen.values()]
        polled = [PERIOD_S for sensor in chosen.values() if not sensor.counts]
        self.update_s = max([0.001, *updates, *polled])
        self.min_window_s = max(0.1, _WINDOW_UPDATES * self.update_s)
        self._gauges: dict[str, Gauge] = {}
        try:
            for domain, sensor in chosen.items():
                self._gauges[domain] = gauge(sensor)
        except MeterUnavailable:
            self.close()
            raise

    @classmethod
    def open(cls, context: MeterContext) -> "HwmonMeter":
        """Read the context's sensors, and of the known ones those that no other meter reads."""
        return cls(context.hwmon, context.kinds_read)

    def domains(self) -> dict[str, Source]:
        """`cpu:<N>` of `amd_energy`, and `KIND:CHIP-SENSOR` of those that were declared."""
        return {domain: one.source for domain, one in self._gauges.items()}

    def read_joules(self) -> dict[str, float | MeterUnavailable]:
        """Joules per domain since the meter was opened, or why a domain can no longer be read."""
        return read_all(self._gauges)

    def background_cpu_s(self) -> float:
        """CPU seconds spent polling power."""
        return sum(one.cpu_s for one in self._gauges.values())

    def close(self) -> None:
        """End polling."""
        for one in self._gauges.values():
            one.close()


def _known(found: Sequence[Sensor]) -> Iterator[tuple[str, Sensor]]:
    for sensor in found:
        socket = re.fullmatch(r"Esocket(\d+)", sensor.label)
        if sensor.chip == "amd_energy" and sensor.counts and socket:
            yield f"cpu:{socket[1]}", sensor


def _domain(kind: str, chip: str, sensor: str) -> str:
    return f"{kind}:{re.sub(r'[^A-Za-z0-9_.]+', '-', f'{chip}-{sensor}')}"


def _named(text: str, found: Sequence[Sensor]) -> Sensor:
    _, chip, name = declared(text)
    fitting = [
        sensor
        for sensor in found
        if chip in (sensor.chip, sensor.folder.name) and name in (sensor.name, sensor.label)
    ]
    if not fitting:
        raise MeterUnavailable(f"no sensor {chip}/{name}; there are: {_listed(found) or 'none'}")
    if len(fitting) > 1:
        places = ", ".join(f"{sensor.folder.name}/{sensor.name}" for sensor in fitting)
        raise MeterUnavailable(f"{chip}/{name} is several sensors; name one of {places}")
    return fitting[0]


def _why_nothing(found: Sequence[Sensor], root: str) -> str:
    if not found:
        return f"no sensor of energy or power in {root}"
    if any(_known(found)):
        return "another meter reads the processor"
    return (
        f"sensors, but what they cover is not known: {_listed(found)}; "
        "declare it with --energy-hwmon=cpu=CHIP/SENSOR"
    )


def _listed(found: Sequence[Sensor]) -> str:
    return ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
