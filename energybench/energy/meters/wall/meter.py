"""The whole machine, by a plug or a board's controller that answers over HTTP; it only reads."""

from collections.abc import Mapping

from energybench.energy.meters.base import (
    MeterAbsent,
    MeterContext,
    MeterSilent,
    MeterUnavailable,
)
from energybench.energy.meters.slow import (
    MIN_WINDOW_S,
    PERIOD_S,
    SILENCE_S,
    Sample,
    SlowPower,
)
from energybench.energy.meters.wall.answers import NotAnAnswer
from energybench.energy.meters.wall.sensors import sensor_at
from energybench.energy.source import Source


class WallMeter:
    """Reads `wall:plug` or `wall:bmc`: the energy of the whole machine, its power supply included.

    `address` is as in `sensors.sensor_at`. A thread of its own asks once a second. Opening waits
    for the first answer, at most the sensor's `opening_s`. Raises `UsageError` for an address that
    is none, and `MeterUnavailable` for a sensor that does not answer, or that reads 0 W: this
    machine is on.
    """

    min_window_s = MIN_WINDOW_S
    update_s = PERIOD_S

    def __init__(
        self, address: str, period_s: float = PERIOD_S, silence_s: float = SILENCE_S
    ) -> None:
        self._sensor = sensor_at(address)
        try:
            self._power = SlowPower(self._ask, period_s, self._sensor.opening_s, silence_s)
        except MeterUnavailable as error:
            raise MeterUnavailable(f"{self._sensor.url}: {error}") from error
        if self._power.watts == 0.0:
            self.close()
            raise MeterUnavailable(
                f"{self._sensor.url}: it reads 0 W, so this machine is not on it"
            )

    @classmethod
    def open(cls, context: MeterContext) -> "WallMeter":
        """Read the plug at the context's address."""
        if context.wall_meter is None:
            raise MeterAbsent("no address; give one with --energy-wall-meter=shelly:HOST")
        return cls(context.wall_meter)

    def domains(self) -> dict[str, Source]:
        """`wall:plug`, or `wall:bmc` for a board's controller."""
        return {self._sensor.domain: self._sensor.source}

    def read_joules(self) -> Mapping[str, float]:
        """Joules since the meter was opened; raises `MeterSilent` after a silence of the sensor."""
        try:
            return {self._sensor.domain: self._power.joules()}
        except MeterSilent as error:
            raise MeterSilent(f"{self._sensor.url}: {error}") from error

    def background_cpu_s(self) -> float:
        """CPU seconds of the thread that asks."""
        return self._power.cpu_s

    def close(self) -> None:
        """End the thread."""
        self._power.close()

    def _ask(self) -> Sample:
        try:
            return self._sensor.ask()
        except NotAnAnswer as error:
            raise MeterUnavailable(str(error)) from error
