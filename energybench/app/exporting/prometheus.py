"""A file of Prometheus' text format, as the textfile collector of node_exporter reads it.

The collector reads every file of its folder that ends in `.prom`, and refuses a whole file with a
timestamp in it, see `collector/textfile.go` in github.com/prometheus/node_exporter.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from energybench.app.exporting.measurements import QUANTITIES, Measurement
from energybench.files import expanded, publish

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

SUFFIX = ".prom"
_ADVICE = "name another file, or make its folder"


class TextFile:
    """One file with the latest value of everything that was measured in this session."""

    def __init__(self, path: str) -> None:
        """`path` ends in `.prom`; nothing is written before the first measurement."""
        self._path = expanded(path).absolute()  # a test may change the folder
        self._latest: dict[object, Measurement] = {}

    def send(self, measurements: Iterable[Measurement]) -> bool:
        """Write the file anew with these measurements, in one step; return True.

        Raises `UsageError` where it cannot be written. The next call then writes them too.
        """
        self._latest |= {one.key: one for one in measurements}
        text = exposition(self._latest.values())
        publish(self._path, lambda file: file.write_bytes(text), _ADVICE)
        return True

    def close(self) -> bool:
        """Leave the file as it is; return True."""
        return True


def exposition(measurements: Iterable[Measurement]) -> bytes:
    """Return measurements in Prometheus' text format, a family of gauges for each quantity."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(measurements)))
    return generate_latest(registry)


class _Collected:
    """The measurements as prometheus_client collects them."""

    def __init__(self, measurements: list[Measurement]) -> None:
        self._measurements = measurements

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        from prometheus_client.core import GaugeMetricFamily

        for quantity in QUANTITIES:
            found = [one for one in self._measurements if one.quantity == quantity]
            if not found:
                continue
            family = GaugeMetricFamily(quantity.family, quantity.help)
            for one in found:
                family.add_sample(quantity.family, dict(one.labels), one.value)
            yield family
