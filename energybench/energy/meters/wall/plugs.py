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
from typing import Any

from energybench.energy.coverage import WHOLE
from energybench.energy.meters.slow import TIMEOUT_S, Sample
from energybench.energy.meters.wall.address import Address
from energybench.energy.meters.wall.answers import NotAnAnswer, count_of, watts_of
from energybench.energy.meters.wall.web import get_json
from energybench.energy.source import SHELLY, TASMOTA, Source
from energybench.energy.units import JOULES_PER_KWH


@dataclass(frozen=True)
class Brand:
    """A kind of plug."""

    source: Source
    path: str
    """Path and query of the address that gives its state."""
    channels: Callable[[Any], Mapping[int, tuple[object, object]]]
    """Reads the JSON: channel -> watts and energy counted, as they stand there."""
    unit_j: float
    """Joules in one unit of the energy counted."""
    hint: str


@dataclass(frozen=True)
class Plug:
    """A plug in the local network."""

    brand: Brand
    place: str
    """Host and port, as the user has written them."""
    channel: int | None

    domain = f"{WHOLE}:plug"
    opening_s = TIMEOUT_S

    @property
    def source(self) -> Source:
        """How its energy is known."""
        return self.brand.source

    @property
    def url(self) -> str:
        """The address of its state."""
        return f"http://{self.place}{self.brand.path}"

    def ask(self) -> Sample:
        """The present power and count; raises `MeterUnavailable` or `NotAnAnswer`."""
        return self.sample(get_json(self.url, self.brand.hint, "which is not sent"))

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
        watts, counted = found[channel]
        return Sample(watts_of(watts), count_of(counted, self.brand.unit_j))


def plug_at(address: Address) -> Plug:
    """The plug at `address`, whose kind is one of `BRANDS`."""
    channel = None if address.part is None else int(address.part)
    return Plug(BRANDS[address.kind], address.place, channel)


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
        number: (watts, totals[number] if several else None) for number, watts in enumerate(powers)
    }


BRANDS = {
    "shelly": Brand(
        SHELLY,
        "/rpc/Shelly.GetStatus",
        _shelly,
        JOULES_PER_KWH / 1e3,
        "a Shelly of generation 2 or later that meters",
    ),
    "tasmota": Brand(
        TASMOTA,
        "/cm?cmnd=Status%208",
        _tasmota,
        JOULES_PER_KWH,
        "a plug with Tasmota that meters",
    ),
}
"""Name in an address -> kind of plug."""
