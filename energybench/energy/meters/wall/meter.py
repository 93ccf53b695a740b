"""The whole machine at the wall, by a plug that answers over HTTP; it is never switched."""

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

from energybench.energy.coverage import WHOLE
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
    TIMEOUT_S,
    Sample,
    SlowPower,
)
from energybench.energy.meters.wall.plugs import NotAnAnswer, Plug, plug_at
from energybench.energy.source import Source

MOST_BYTES = 65_536
"""The longest answer that is read; a Shelly's takes some 2,000 bytes."""
DOMAIN = f"{WHOLE}:plug"


class WallMeter:
    """Reads `wall:plug`: the energy of the whole machine, its power supply included.

    `address` is as in `plugs.plug_at`. The plug is asked once a second by a thread of its own, and
    within two seconds when the meter is opened. Raises `UsageError` for an address that is none,
    and `MeterUnavailable` for a plug that does not answer, or that reads 0 W: this machine is on.
    """

    min_window_s = MIN_WINDOW_S
    update_s = PERIOD_S

    def __init__(
        self, address: str, period_s: float = PERIOD_S, silence_s: float = SILENCE_S
    ) -> None:
        self._plug = plug_at(address)
        try:
            self._power = SlowPower(self._ask, period_s, TIMEOUT_S, silence_s)
        except MeterUnavailable as error:
            raise MeterUnavailable(f"{self._plug.url}: {error}") from error
        if self._power.watts == 0.0:
            self.close()
            raise MeterUnavailable(f"{self._plug.url}: it reads 0 W, so this machine is not on it")

    @classmethod
    def open(cls, context: MeterContext) -> "WallMeter":
        """Read the plug at the context's address."""
        if context.wall_meter is None:
            raise MeterAbsent("no address; give one with --energy-wall-meter=shelly:HOST")
        return cls(context.wall_meter)

    def domains(self) -> dict[str, Source]:
        """`wall:plug`."""
        return {DOMAIN: self._plug.brand.source}

    def read_joules(self) -> Mapping[str, float]:
        """Joules since the meter was opened; raises `MeterSilent` after a silence of the plug."""
        try:
            return {DOMAIN: self._power.joules()}
        except MeterSilent as error:
            raise MeterSilent(f"{self._plug.url}: {error}") from error

    def background_cpu_s(self) -> float:
        """CPU seconds of the thread that asks."""
        return self._power.cpu_s

    def close(self) -> None:
        """End the thread."""
        self._power.close()

    def _ask(self) -> Sample:
        return _sample(self._plug)


class _NoRedirect(HTTPRedirectHandler):
    """Stays with the address that the user gave."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = build_opener(ProxyHandler({}), _NoRedirect)  # no proxy: the plug is in the local network


def _sample(plug: Plug) -> Sample:
    """Ask the plug once; raises `MeterUnavailable` with the reason."""
    try:
        with _OPENER.open(plug.url, timeout=TIMEOUT_S) as response:
            text = response.read(MOST_BYTES)
    except HTTPError as error:
        asks = "; it asks for a password, which is not sent" if error.code == 401 else ""
        hint = f"; is it {plug.brand.hint}?" if error.code < 500 else ""
        raise MeterUnavailable(f"it answers with status {error.code}{asks}{hint}") from error
    except TimeoutError as error:
        raise MeterUnavailable(f"no answer within {TIMEOUT_S:g} s") from error
    except (URLError, OSError, HTTPException) as error:
        raise MeterUnavailable(f"it cannot be reached: {_reason(error)}") from error
    try:
        return plug.sample(json.loads(text))
    except NotAnAnswer as error:
        raise MeterUnavailable(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise MeterUnavailable(
            f"its answer is not JSON ({str(text[:20])[2:-1]}...); is it {plug.brand.hint}?"
        ) from error


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
