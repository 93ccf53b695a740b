"""Measurements to a collector of OpenTelemetry, by the SDK's own exporter.

The variables `OTEL_EXPORTER_OTLP_*` and `OTEL_RESOURCE_ATTRIBUTES` say where to and as what, see
https://opentelemetry.io/docs/specs/otel/protocol/exporter. Nothing listens here.
"""

import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from energybench import __version__
from energybench.app.exporting.measurements import Measurement, Quantity
from energybench.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricExporter, MetricsData

PAUSE_S = 60.0
"""Seconds without an attempt after one that failed, which takes up to the exporter's timeout."""
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_LIBRARY = "opentelemetry"
"""The logger of the SDK and of its exporters."""


class Otlp:
    """A collector, which gets each measurement once."""

    def __init__(self) -> None:
        """Raises `UsageError` where a library is missing, or the protocol is not known."""
        self._exporter = _exporter()
        self._waiting: dict[object, tuple[Measurement, int]] = {}
        self._next_attempt = 0.0

    def send(self, measurements: Iterable[Measurement]) -> bool:
        """Send these measurements and those that no attempt has brought to the collector.

        Returns whether the collector has them all. Raises `UsageError` where it does not take
        them. They go with a later call; within `PAUSE_S` of a failure none makes an attempt.
        """
        now = time.time_ns()
        self._waiting |= {one.key: (one, now) for one in measurements}
        if time.monotonic() >= self._next_attempt:
            self._attempt()
        return not self._waiting

    def close(self) -> bool:
        """Make a last attempt if something waits; otherwise as `send`."""
        try:
            if self._waiting:
                self._attempt()
        finally:
            self._exporter.shutdown()
        return not self._waiting

    def _attempt(self) -> None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        data = _data(self._waiting.values())
        with _log() as said:
            try:
                taken = self._exporter.export(data) is MetricExportResult.SUCCESS
            except Exception as error:  # of any library below it: no test may fail by this
                taken = False
                said.append(f"{type(error).__name__}: {error}")
        if taken:
            self._waiting.clear()
            return
        self._next_attempt = time.monotonic() + PAUSE_S
        raise UsageError(
            f"the collector at {_endpoint()} did not take {len(self._waiting)} measurements "
            f"({said[0] if said else 'no reason given'}); start it, or set "
            "OTEL_EXPORTER_OTLP_ENDPOINT to another one"
        )


def _endpoint() -> str:
    """Return the collector's address for people, without a password in it."""
    given = next((found for name in _ENDPOINTS if (found := os.environ.get(name))), None)
    return "the default address" if given is None else re.sub("//[^/@]*@", "//", given)


def _exporter() -> "MetricExporter":
    protocol = next((found for name in _PROTOCOLS if (found := os.environ.get(name))), None)
    try:
        if protocol == "grpc":
            return _grpc()
        if protocol in (None, "http/protobuf"):
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            return OTLPMetricExporter()
    except ImportError as error:
        raise UsageError(
            f"otlp needs OpenTelemetry's SDK ({error}); pip install 'energybench[otlp]'"
        ) from error
    except UsageError:
        raise
    except Exception as error:  # wrong variables, as the exporter reads them
        raise UsageError(f"otlp cannot start ({error}); look at OTEL_EXPORTER_OTLP_*") from error
    raise UsageError(f"the OTLP protocol {protocol} is not known; use http/protobuf or grpc")


def _grpc() -> "MetricExporter":
    try:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    except ImportError as error:
        raise UsageError(
            f"OTLP over grpc needs a library more ({error}); pip install "
            "opentelemetry-exporter-otlp-proto-grpc, or use http/protobuf"
        ) from error
    return OTLPMetricExporter()


def _data(measured: Iterable[tuple[Measurement, int]]) -> "MetricsData":
    """Return measurements with their times, nanoseconds since 1970, as gauges of one scope."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    name = os.environ.get("OTEL_SERVICE_NAME") or "energybench"
    resource = Resource.create({"service.name": name, "service.version": __version__})
    scope = InstrumentationScope("energybench", __version__)
    metrics = ScopeMetrics(scope, list(_metrics(measured)), "")
    return MetricsData([ResourceMetrics(resource, [metrics], "")])


def _metrics(measured: Iterable[tuple[Measurement, int]]) -> "Iterator[Metric]":
    from opentelemetry.sdk.metrics.export import Gauge, Metric, NumberDataPoint

    points: dict[Quantity, list[NumberDataPoint]] = {}
    for one, at in measured:
        point = NumberDataPoint(dict(one.labels), None, at, one.value)
        points.setdefault(one.quantity, []).append(point)
    for quantity, found in points.items():
        yield Metric(quantity.name, quantity.help, quantity.unit, Gauge(found))


@contextmanager
def _log() -> Iterator[list[str]]:
    """Catch the library's log, so that a failure is one line of ours; the first tells the cause."""
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger(_LIBRARY), Kept(logging.WARNING)
    propagated = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
