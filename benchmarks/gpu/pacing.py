"""A plugin of pytest: stop in time, note each finished test at once, and repeat none.

It is loaded by `-p benchmarks.gpu.pacing` and rests unless `--gpu-progress` is given.
"""

import hashlib
import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import progress

LEFT = "no time is left; the next run makes up for it"
MARGIN = 1.2
"""A cell may take this multiple of the longest one so far."""
CHECK = "energybench check"
"""Name of the user properties in which tests leave their checks."""
_NOTE = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options that the runner gives."""
    group = parser.getgroup("one hour on a GPU")
    group.addoption("--gpu-progress", type=Path, help="file of finished tests")
    group.addoption("--gpu-step", default="", help="name of this session")
    group.addoption("--gpu-seconds", type=float, default=540.0, help="seconds of this session")


def pytest_configure(config: pytest.Config) -> None:
    """Start the clock, before anything heavy is imported."""
    if config.getoption("--gpu-progress") is not None:
        config.pluginmanager.register(Pacing(config), "pacing of a part")


class Pacing:
    """One session of a part."""

    def __init__(self, config: pytest.Config) -> None:
        self._path: Path = config.getoption("--gpu-progress")
        self._step: str = config.getoption("--gpu-step")
        self._end = time.monotonic() + config.getoption("--gpu-seconds")
        self._key = session_key(config)
        self._longest: dict[tuple[str, str], float] = {}
        self._taken: dict[str, float] = {}
        self._began = 0.0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what is finished; cells stay, because their journal has them."""
        earlier = progress.read(self._path).done
        names = [item.nodeid for item in items]
        progress.append(self._path, {"step": self._step, "key": self._key, "collected": names})
        finished = []
        for item in items:
            line = earlier.get((self._key, item.nodeid))
            if line is not None:
                self._remember(item, line.get("seconds", 0.0))
                if "energy_cell" not in getattr(item, "fixturenames", ()):
                    finished.append(item)
        items[:] = [item for item in items if item not in finished]
        config.hook.pytest_deselected(items=finished)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Time each test, with its set-up."""
        self._began = time.monotonic()
        found = yield
        self._remember(item, time.monotonic() - self._began)
        return found

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a cell that would end too late, judged by the cells before it."""
        if _model(item) and self._expected(item) > self._end - time.monotonic():
            pytest.skip(LEFT)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep with the report what pytest-benchmark has timed."""
        report = yield
        if report.when == "call" or (report.when == "setup" and not report.passed):
            report.paced = {  # type: ignore[attr-defined]
                "outcome": report.outcome,
                "cell": "energy_cell" in getattr(item, "fixturenames", ()),
                "why": _why(report),
                "benchmark": _study(item),
                "checks": [value for name, value in item.user_properties if name == CHECK],
            }
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line per finished test; a test that was put back is not reported."""
        found = getattr(report, "paced", None)
        if found is None or found["why"] == LEFT:
            return
        line = {"step": self._step, "key": self._key, "test": report.nodeid, **found}
        # a cell that waited for its baseline ran the first time that it was started
        seconds = max(time.monotonic() - self._began, self._taken.get(report.nodeid, 0.0))
        progress.append(self._path, line | {"seconds": seconds})

    def _remember(self, item: pytest.Item, seconds: float) -> None:
        self._taken[item.nodeid] = max(seconds, self._taken.get(item.nodeid, 0.0))
        name = _function(item), _model(item)
        self._longest[name] = max(seconds, self._longest.get(name, 0.0))

    def _expected(self, item: pytest.Item) -> float:
        """Return the seconds of the longest cell of this model, else of any; 0 for the first."""
        own = self._longest.get((_function(item), _model(item)))
        if own is None:
            others = (s for (test, _), s in self._longest.items() if test == _function(item))
            own = max(others, default=0.0)
        return MARGIN * own


def session_key(config: pytest.Config) -> str:
    """Return 16 hexadecimal digits for the machine, the versions and the options of a session."""
    from energybench.energy.machine import describe_machine

    machine = describe_machine()
    own = ("--gpu-progress", "--gpu-seconds", "--gpu-step", "--energy-journal", "--benchmark-json")
    options = [one for one in config.invocation_params.args if not str(one).startswith(own)]
    names = [gpu["name"] for gpu in machine.gpus]
    parts = [machine.cpu, names, machine.nvidia_driver, machine.versions, list(map(str, options))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _model(item: pytest.Item) -> str:
    """Return the model of a test's cell; "" for a test without one."""
    cell = getattr(item, "callspec", None) and item.callspec.params.get("cell")  # type: ignore[attr-defined]
    return "" if cell is None else cell.model


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _why(report: pytest.TestReport) -> str | None:
    """Return the reason of a failure or a skip in one line."""
    if report.passed:
        return None
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


def _study(item: pytest.Item) -> dict[str, Any] | None:
    """Return pytest-benchmark's entry of a test; None for a cell, which the journal has."""
    from pytest_benchmark.utils import safe_dumps

    benchmark = getattr(item, "funcargs", {}).get("benchmark")
    stats = getattr(benchmark, "stats", None)
    if stats is None or "energybench" in benchmark.extra_info:
        return None
    found: dict[str, Any] = json.loads(safe_dumps(stats.as_dict()))
    return found
