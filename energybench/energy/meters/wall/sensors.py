"""What reads the whole machine over the local network, by its address."""

from typing import Protocol

from energybench.energy.meters.slow import Sample
from energybench.energy.meters.wall.address import REDFISH, address_of
from energybench.energy.meters.wall.plugs import plug_at
from energybench.energy.meters.wall.redfish import Controller
from energybench.energy.source import Source


class Sensor(Protocol):
    """A plug, or the controller of a board."""

    @property
    def domain(self) -> str:
        """The domain that it reads, of the whole machine."""
        ...

    @property
    def source(self) -> Source:
        """How its energy is known."""
        ...

    @property
    def url(self) -> str:
        """What is asked, for messages."""
        ...

    @property
    def opening_s(self) -> float:
        """The longest that its first answer takes, in seconds."""
        ...

    def ask(self) -> Sample:
        """The present power and count; raises `MeterUnavailable` or `NotAnAnswer`."""
        ...


def sensor_at(text: str) -> Sensor:
    """The sensor at `text`, as `shelly:HOST`; raises `UsageError` for any other text."""
    address = address_of(text)
    return Controller(address) if address.kind == REDFISH else plug_at(address)
