"""Your own meter: joules out of a log of watts, as a wall plug or a power supply may keep it.

    pip install -e examples            # once: registers the name "watt-log"
    WATT_LOG=plug.csv python examples/own_meter.py

The log has a line per sample, `seconds,watts`, seconds as `time.time()` gives them. Without
`WATT_LOG` the example writes a log of its own, a constant 40 W: a stand-in for your logger, not a
measurement.
"""

import csv
import os
import tempfile
import threading
import time
from pathlib import Path

import energybench
from energybench import MeterUnavailable, Source

STAND_IN_WATTS = 40.0
LATEST_S = 5.0
"""A log without a sample for so long is not being written."""


class WattLog:
    """The machine's energy since the meter was opened; each sample holds until the next one."""

    min_window_s = 0.5  # some samples long; shorter windows are `short_window`

    def __init__(self):
        """Open the log that WATT_LOG names; raises `MeterUnavailable` where it is not written."""
        self._log = Path(os.environ.get("WATT_LOG", ""))
        if not self._log.is_file():
            raise MeterUnavailable("no log of watts; name its file in WATT_LOG")
        self._start = self._total()

    def domains(self):
        """Return the one domain, and how it is read."""
        return {"plug:0": Source("watt_log", "measured")}

    def read_joules(self):
        """Return the joules since the meter was opened."""
        return {"plug:0": self._total() - self._start}

    def close(self):
        """Nothing stays open."""

    def _total(self):
        """Return the joules of the whole log until now."""
        whole, _, _being_written = self._log.read_text(encoding="utf-8").rpartition("\n")
        rows = [row for row in csv.reader(whole.splitlines()) if len(row) == 2]
        samples, now = [(float(seconds), float(watts)) for seconds, watts in rows], time.time()
        if not samples or now - samples[-1][0] > LATEST_S:
            raise MeterUnavailable(f"no sample of the last {LATEST_S:g} s in {self._log}")
        ends = [*(seconds for seconds, _ in samples[1:]), now]
        pairs = zip(samples, ends, strict=True)
        return sum(watts * (end - seconds) for (seconds, watts), end in pairs)


def write_log(path, stop):
    """Append a sample every 0.1 s until `stop` is set."""
    while not stop.is_set():
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.time()},{STAND_IN_WATTS}\n")
        stop.wait(0.1)


def main():
    """Measure a second of work."""
    stop = threading.Event()
    if "WATT_LOG" not in os.environ:
        path = Path(tempfile.mkdtemp()) / "plug.csv"
        path.touch()
        os.environ["WATT_LOG"] = str(path)
        threading.Thread(target=write_log, args=(path, stop), daemon=True).start()
        print(f"no WATT_LOG: this log is made up, a constant {STAND_IN_WATTS:g} W")
        time.sleep(0.3)  # the logger's first samples
    with energybench.measure(meters=["watt-log"]) as window:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            sum(range(10**5))
    stop.set()
    print(window)


if __name__ == "__main__":
    main()
