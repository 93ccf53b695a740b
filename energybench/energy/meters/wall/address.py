"""Addresses of what reads the whole machine: `shelly:HOST`, `tasmota:HOST/1`, `redfish:HOST`."""

import re
from dataclasses import dataclass

from energybench.errors import UsageError

_ADDRESS = re.compile(
    r"(?P<kind>[a-z]+):(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?"
    r"(/(?P<part>[\w.-]{1,64}))?"
)
PLUGS = ("shelly", "tasmota")
REDFISH = "redfish"


@dataclass(frozen=True)
class Address:
    """One address, taken apart."""

    kind: str
    """One of `PLUGS`, or `REDFISH`."""
    host: str
    """As the user has written it, an IPv6 address in brackets."""
    port: int | None
    part: str | None
    """What is behind the slash: the channel of a plug, or the name of a chassis."""

    @property
    def place(self) -> str:
        """Host and port."""
        return self.host + ("" if self.port is None else f":{self.port}")


def address_of(text: str) -> Address:
    """Take `text` apart; raises `UsageError` if it is no address."""
    found = _ADDRESS.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if (
        found is None
        or found["kind"] not in (*PLUGS, REDFISH)
        or (port is not None and not 0 < port < 65536)
        or (found["kind"] in PLUGS and not re.fullmatch(r"\d{0,2}", found["part"] or ""))
    ):
        raise UsageError(
            f"{text[:100]!r} is no wall meter; write shelly:HOST[:PORT] or tasmota:HOST[:PORT], "
            "with /N behind it for channel N, or redfish:HOST[:PORT], with /NAME for a chassis"
        )
    return Address(found["kind"], found["host"], port, found["part"])
