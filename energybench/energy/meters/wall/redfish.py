"""What the controller of a server's board answers by Redfish, over HTTPS.

`/redfish/v1/Chassis` lists the chassis. Each links to its `EnvironmentMetrics`, which have
`PowerWatts.Reading` in watts and may have `EnergykWh.Reading`. On older boards it links to its
`Power`, which has `PowerControl[0].PowerConsumedWatts`. The names are of DMTF's schemas Chassis,
EnvironmentMetrics and Power.

The user and the password stand in the file `.netrc`, so that no command and no record has them. The
certificate is verified; `SSL_CERT_FILE` names the authority of one that no public authority signed.
"""

import base64
import netrc
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from energybench.energy.coverage import WHOLE
from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.slow import TIMEOUT_S, Sample
from energybench.energy.meters.wall.address import Address
from energybench.energy.meters.wall.answers import NotAnAnswer, count_of, watts_of
from energybench.energy.meters.wall.web import get_json
from energybench.energy.source import REDFISH, Source
from energybench.energy.units import JOULES_PER_KWH

ROOT = "/redfish/v1/Chassis"
HINT = "a board's controller with Redfish"
_PATH = re.compile(r"/redfish/[\w./()'-]{1,200}")


class Controller:
    """The controller of a board, at `redfish:HOST[:PORT]`, with `/NAME` for one of its chassis."""

    domain = f"{WHOLE}:bmc"
    source: Source = REDFISH
    opening_s = 5 * TIMEOUT_S
    """It is first asked what it has: the chassis, one of them, and two kinds of power."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._path: str | None = None

    @property
    def url(self) -> str:
        """The address of what is read; at first that of all chassis."""
        return f"https://{self._address.place}{self._path or ROOT}"

    def ask(self) -> Sample:
        """The present power and count; raises `MeterUnavailable` or `NotAnAnswer`."""
        if self._path is None:
            self._path = self._find()
        return sample(self._get(self._path))

    def _find(self) -> str:
        """The path of the first resource of the chassis that has a power."""
        chassis = self._get(self._chassis())
        for name in ("EnvironmentMetrics", "Power"):
            path = _link(chassis.get(name) if isinstance(chassis, dict) else None)
            if path is None:
                continue
            try:
                sample(self._get(path))
            except (MeterUnavailable, NotAnAnswer):
                if name == "Power":
                    raise
            else:
                return path
        raise NotAnAnswer("its chassis has no power")

    def _chassis(self) -> str:
        listed = self._get(ROOT)
        members = listed.get("Members") if isinstance(listed, dict) else None
        found = {
            path.rstrip("/").rpartition("/")[2]: path
            for member in (members if isinstance(members, list) else ())
            if (path := _link(member)) is not None
        }
        wanted = self._address.part
        if wanted is None and len(found) == 1:
            return next(iter(found.values()))
        if wanted in found:
            return found[wanted]
        if not found:
            raise NotAnAnswer(f"it lists no chassis; is it {HINT}?")
        names = ", ".join(found)[:200]
        said = "" if wanted is None else f"no {wanted} among "
        raise NotAnAnswer(
            f"it has {said}the chassis {names}; name one, as HOST/{next(iter(found))}"
        )

    def _get(self, path: str) -> Any:
        hint = f"which {_netrc()} has to say: machine {self._host} login USER password WORD"
        return get_json(f"https://{self._address.place}{path}", HINT, hint, self._headers)

    @property
    def _host(self) -> str:
        return self._address.host.strip("[]")

    @cached_property
    def _headers(self) -> dict[str, str]:
        """The user and the password among them are read once, before any window."""
        return {"Accept": "application/json", **_authorization(self._host)}


def sample(answer: object) -> Sample:
    """The power and the count in `EnvironmentMetrics` or `Power`; raises `NotAnAnswer`."""
    if not isinstance(answer, dict):
        raise NotAnAnswer("its answer has no power")
    if "PowerWatts" in answer:
        counted = count_of(_reading(answer.get("EnergykWh")), JOULES_PER_KWH)
        return Sample(watts_of(_reading(answer["PowerWatts"])), counted)
    controls = answer.get("PowerControl")
    first = controls[0] if isinstance(controls, list) and controls else None
    if not isinstance(first, dict) or "PowerConsumedWatts" not in first:
        raise NotAnAnswer("its answer has no power")
    return Sample(watts_of(first["PowerConsumedWatts"]))


def _reading(excerpt: object) -> object:
    return excerpt.get("Reading") if isinstance(excerpt, dict) else None


def _link(resource: object) -> str | None:
    """The path that `resource` links to, if it stays within the service."""
    path = resource.get("@odata.id") if isinstance(resource, dict) else None
    return path if isinstance(path, str) and _PATH.fullmatch(path) and ".." not in path else None


def _netrc() -> Path:
    """The file with users and passwords; `NETRC` names another, as curl has it."""
    named = os.environ.get("NETRC")
    return Path(named) if named else Path.home() / ".netrc"


def _authorization(host: str) -> dict[str, str]:
    """The header with the user and password for `host`; none where none are kept."""
    file = _netrc()
    try:
        kept = netrc.netrc(str(file)).authenticators(host) if file.exists() else None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        raise MeterUnavailable(f"{file} cannot be read: {error}") from error
    if kept is None:
        return {}
    user, _, password = kept
    word = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return {"Authorization": f"Basic {word}"}
