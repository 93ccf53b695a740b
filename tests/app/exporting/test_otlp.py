"""OTLP to a collector of the test's own, on the loopback interface."""

import builtins
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from support.saved_runs import cell

from energybench.app.exporting.measurements import Measurement, of_record
from energybench.app.exporting.otlp import Otlp
from energybench.app.exporting.targets import Exports
from energybench.errors import UsageError

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")


class Collector:
    """Takes requests, or refuses them with a status."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
            ExportMetricsServiceRequest,
        )

        self.status = 200
        self.requests: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/metrics" and collector.status == 200:
                    collector.requests.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "lab=north")
    yield found
    found.close()


def received(request: Any) -> list[tuple[str, str, dict[str, str], float]]:
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    return [
        (metric.name, metric.unit, attributes(point), point.as_double)
        for metric in scope.metrics
        for point in metric.gauge.data_points
    ]


def attributes(of: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in of.attributes}


def as_sent(measurements: list[Measurement]) -> list[tuple[str, str, dict[str, str], float]]:
    return [
        (one.quantity.name, one.quantity.unit, dict(one.labels), one.value) for one in measurements
    ]


def in_order(sent: list[tuple[str, str, dict[str, str], float]]) -> list[str]:
    return sorted(map(repr, sent))


def test_a_collector_gets_each_measurement_once(collector: Collector) -> None:
    target = Otlp()
    first, other = of_record(cell("baseline")), of_record(cell("prune"))
    target.send(first)
    target.send(other)
    target.close()
    one, two = collector.requests
    assert in_order(received(one)) == in_order(as_sent(first))
    assert in_order(received(two)) == in_order(as_sent(other))
    found = attributes(one.resource_metrics[0].resource)
    assert found["service.name"] == "energybench"
    assert found["lab"] == "north"


def test_a_collector_that_refuses_gets_it_later(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400
    lines: list[str] = []
    exports = Exports(["otlp"], lines.append)
    first, other = of_record(cell("baseline")), of_record(cell("prune"))
    exports.add(first)
    exports.add(other)
    (line,) = lines
    assert line.startswith(
        f"energybench: --energy-export=otlp: the collector at {collector.url} did"
    )
    assert "400" in line
    assert "\n" not in line
    assert not caplog.records, "the library's own log is not said beside it"
    collector.status = 200
    exports.close()
    (request,) = collector.requests
    assert in_order(received(request)) == in_order(as_sent([*first, *other]))


def test_no_attempt_follows_soon_on_one_that_failed(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.status = 400
    target = Otlp()
    with pytest.raises(UsageError):
        target.send(of_record(cell("baseline")))
    collector.status = 200
    target.send(of_record(cell("prune")))
    assert not collector.requests
    monkeypatch.setattr("energybench.app.exporting.otlp.time.monotonic", lambda: 1e12)
    target.send(of_record(cell("stego")))
    assert len(collector.requests) == 1


def test_a_collector_that_is_not_there_is_one_line(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://me:secret@127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        lines: list[str] = []
        exports = Exports(["otlp"], lines.append)
        exports.add(of_record(cell("baseline")))
        exports.add(of_record(cell("prune")))
        exports.close()
        assert len(lines) == 1, "no attempt is no success, and the last one is no news"
        with pytest.raises(
            UsageError, match=f"at http://127.0.0.1:{port} did not take.*; start it, or"
        ):
            Otlp().send(of_record(cell()))


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'energybench\[otlp\]'"):
        Exports(["otlp"], print)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(UsageError, match=r"\AOTLP over grpc needs a library more"):
        Exports(["otlp"], print)


def test_an_unknown_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json")
    with pytest.raises(UsageError, match="use http/protobuf or grpc"):
        Otlp()
