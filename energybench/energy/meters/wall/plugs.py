"""What plugs answer: Shelly of generation 2 and later, and Tasmota.

Shelly: `GET /rpc/Shelly.GetStatus` has one entry per component. Those called `switch:N` and `pm1:N`
have `apower`, the last measured active power in watts, and `aenergy.total` in watt-hours
(https://shelly-api-docs.shelly.cloud/gen2/ComponentsAndServices/Switch, and .../PM1).

Tasmota: `GET /cm?cmnd=Status%208` has `StatusSNS.ENERGY` with `Power` in watts and `Total` in kWh,
each a number, or a list with one number per phase (`EnergyShow` in Tasmota's
`xdrv_03_energy.ino`). Its total has three decimals by default: steps of 3,600 J.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from energybench.energy.meters.slow import Sample
from energybench.energy.source import SHELLY, TASMOTA, Source
from energybench.energy.units import JOULES_PER_KWH
from energybench.errors import UsageError

MOST_WATTS = 100_000.0
"""More than any plug can carry; a greater number is nonsense."""
MOST = 1e15
_ADDRESS = re.compile(
    r"(?P<brand>shelly|tasmota):(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?"
    r"(/(?P<channel>\d{1,2}))?"
)


class NotAnAnswer(ValueError):
    """An answer that has no power in it; the message is what is wrong with it."""


@dataclass(frozen=True)
class Brand:
    """A kind of plug."""

    source: Source
    path: str
    """Path and query of the address that gives its state."""
    channels: Callable[[Any], Mapping[int, tuple[object, object]]]
    """Reads the JSON: channel -> watts and watt-hours, as they stand there."""
    hint: str


@dataclass(frozen=True)
class Plug:
    """A plug in the local network."""

    brand: Brand
    place: str
    """Host and port, as the user has written them."""
    channel: int | None

    @property
    def url(self) -> str:
        """The address of its state."""
        return f"http://{self.place}{self.brand.path}"

    def sample(self, answer: object) -> Sample:
        """The power and the count in `answer`, its JSON; raises `NotAnAnswer`."""
        found = self.brand.channels(answer)
        if not found:
            raise NotAnAnswer(f"its answer has no power; is it {self.brand.hint}?")
        if self.channel is None and len(found) > 1:
            numbers = ", ".join(map(str, sorted(found)))
            raise NotAnAnswer(f"it has the channels {numbers}; name one, as {self.place}/0")
        channel = next(iter(found)) if self.channel is None else self.channel
        if channel not in found:
            raise NotAnAnswer(f"it has no channel {channel}")
        watts, watt_hours = found[channel]
        if not _is_number(watts) or not 0.0 <= watts <= MOST_WATTS:
            raise NotAnAnswer(f"its power is {repr(watts)[:40]}, not watts from 0")
        counted = watt_hours if _is_number(watt_hours) and watt_hours >= 0.0 else None
        return Sample(watts, None if counted is None else counted * JOULES_PER_KWH / 1e3)


def plug_at(address: str) -> Plug:
    """The plug at `address`: `shelly:HOST`, `tasmota:HOST:PORT`, `shelly:HOST/1` for its channel 1.

    Raises `UsageError` for any other text.
    """
    found = _ADDRESS.fullmatch(address)
    port = int(found["port"] or 80) if found else 0
    if found is None or not 0 < port < 65536:
        raise UsageError(
            f"{address[:100]!r} is no wall meter; write shelly:HOST[:PORT] or tasmota:HOST[:PORT], "
            "with /N behind it for channel N"
        )
    place = found["host"] + (f":{port}" if found["port"] else "")
    channel = None if found["channel"] is None else int(found["channel"])
    return Plug(BRANDS[found["brand"]], place, channel)


def _shelly(answer: Any) -> dict[int, tuple[object, object]]:
    found: dict[int, tuple[object, object]] = {}
    for name, state in answer.items() if isinstance(answer, dict) else ():
        number = re.fullmatch(r"(?:switch|pm1):(\d+)", name)
        if number and isinstance(state, dict) and "apower" in state:
            energy = state.get("aenergy")
            total = energy.get("total") if isinstance(energy, dict) else None
            found[int(number[1])] = state["apower"], total
    return found


def _tasmota(answer: Any) -> dict[int, tuple[object, object]]:
    for name in ("StatusSNS", "ENERGY"):
        answer = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or "Power" not in answer:
        return {}
    powers, totals = (
        value if isinstance(value, list) else [value]
        for value in (answer["Power"], answer.get("Total"))
    )
    several = len(totals) == len(powers)
    return {
        number: (watts, _watt_hours(totals[number]) if several else None)
        for number, watts in enumerate(powers)
    }


def _watt_hours(kwh: object) -> object:
    return kwh * 1e3 if _is_number(kwh) else None


def _is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a number that a plug can mean: finite, and no text or truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST


BRANDS = {
    "shelly": Brand(
        SHELLY, "/rpc/Shelly.GetStatus", _shelly, "a Shelly of generation 2 or later that meters"
    ),
    "tasmota": Brand(TASMOTA, "/cm?cmnd=Status%208", _tasmota, "a plug with Tasmota that meters"),
}
"""Name in an address -> kind of plug."""
