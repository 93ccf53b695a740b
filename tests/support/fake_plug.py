"""A plug, or a board's controller, on the loopback interface, which answers as the test says."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakePlug:
    """What the plug answers, and what it was asked."""

    answer: object
    """JSON, or bytes that are sent as they are."""
    pages: dict[str, object] = field(default_factory=dict)
    """Path -> JSON, in place of `answer`; other paths are then not found."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Seconds before each answer."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""
    authorization: str | None = None
    """What each request must have in its header of this name; others are refused with 401."""
    place: str = ""
    """`127.0.0.1:PORT`."""

    def respond(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        """The status and the body for a request."""
        if authorization != self.authorization:
            return 401, b"{}"
        if self.pages and path not in self.pages:
            return 404, b"{}"
        answer = self.pages.get(path, self.answer)
        return self.status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def shelly(watts: Any, watt_hours: Any = 7258.589, component: str = "switch:0") -> dict[str, Any]:
    """The parts of `Shelly.GetStatus` around the power, as a Plus Plug S answers."""
    energy = {"by_minute": [34.786, 45.552], "minute_ts": 1707326925, "total": watt_hours}
    state = {"aenergy": energy, "apower": watts, "current": 0.121, "id": 0, "output": True}
    return {"ble": {}, "cloud": {"connected": True}, component: state, "sys": {"uptime": 78962}}


def tasmota(watts: Any, kwh: Any = 3.705) -> dict[str, Any]:
    """`Status 8` of Tasmota."""
    energy = {
        "TotalStartTime": "2020-10-21T22:15:00",
        "Total": kwh,
        "Yesterday": 0.028,
        "Today": 0.026,
        "Power": watts,
        "ApparentPower": 5,
        "Factor": 1.0,
        "Voltage": 233,
        "Current": 0.021,
    }
    return {"StatusSNS": {"Time": "2022-01-11T21:57:38", "ENERGY": energy}}


@contextmanager
def plugged_in(answer: object, tls: ssl.SSLContext | None = None) -> Iterator[FakePlug]:
    """Serve a plug until the end of the block; with `tls`, over HTTPS."""
    plug = FakePlug(answer)
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plug.asked.append(f"{self.command} {self.path}")
            until = time.monotonic() + plug.delay_s
            while time.monotonic() < until and not ended.wait(0.01):
                pass
            status, body = plug.respond(self.path, self.headers["Authorization"])
            self.send_response(status)
            for name, value in plug.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """The client may have gone."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    plug.place = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield plug
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
