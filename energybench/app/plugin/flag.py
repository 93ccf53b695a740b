"""`--energy`: joules per call of every pytest-benchmark test, which needs no change for it."""

from collections.abc import Generator
from typing import Any

import pytest

from energybench.app.plugin.energy import measure_rounds
from energybench.app.plugin.mark import MATRIX_MARK
from energybench.app.plugin.options import with_flag
from energybench.app.plugin.state import RUN
from energybench.errors import EnergybenchError

_FLAG = "--energy"
_WITHOUT = pytest.StashKey[str]()
"""Why a benchmark of a test has no energy."""


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Add the hooks of this module's plugin where the option is set; else nothing is added."""
    if not config.stash[RUN].options.per_call:
        return
    parallel = config.getoption("dist", "no") != "no"
    if parallel and config.getoption("energy_per_call", None) is not None:
        raise pytest.UsageError(
            f"{_FLAG} measures one test at a time; run without -n, or leave out {_FLAG}"
        )
    config.pluginmanager.register(_EveryBenchmark(config, parallel), "energybench-every-benchmark")


class _EveryBenchmark:
    """Measures the tests that use the fixture `benchmark`; cells are measured by themselves."""

    def __init__(self, config: pytest.Config, parallel: bool) -> None:
        self._config = config
        self._parallel = parallel
        self._why_not: str | None = None
        """Why the meters cannot be opened; None where they can."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: Any, request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Let the rounds of the test's benchmark have energy windows."""
        value = yield
        if fixturedef.argname == "benchmark" and _is_measured(value, request.node):
            self._measure(value, request.node)
        return value

    def _measure(self, benchmark: Any, item: pytest.Item) -> None:
        if self._why_not is None:
            try:
                measure_rounds(benchmark, item)
            except EnergybenchError as error:
                self._why_not = with_flag(error)
        if self._why_not is not None:
            item.stash[_WITHOUT] = self._why_not

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Fail a test that must have energy where the meters cannot be opened."""
        result = yield
        requires = self._config.stash[RUN].options.run.measure.requires_energy
        if requires and _WITHOUT in item.stash:
            pytest.fail(f"no energy: {item.stash[_WITHOUT]}", pytrace=False)
        return result

    def _why_nothing(self) -> str | None:
        """Return why nothing is measured in this session; None where benchmarks are."""
        get = self._config.getoption
        if self._parallel:
            return "pytest-benchmark disables benchmarks under -n; run without it"
        if not self._config.pluginmanager.hasplugin("benchmark"):
            return "pytest-benchmark is not loaded; leave out -p no:benchmark"
        for name in ("skip", "disable"):
            if get(f"benchmark_{name}", False):
                return f"benchmarks are switched off; leave out --benchmark-{name}"
        return self._why_not

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say in one line why nothing was measured."""
        why = self._why_nothing()
        if why is not None:
            terminalreporter.write_line(
                f"energybench: {_FLAG} measured nothing: {why}", yellow=True
            )


def _is_measured(benchmark: Any, item: Any) -> bool:
    """Whether a benchmark runs, and is none of a cell: those are measured by themselves."""
    return not getattr(benchmark, "disabled", True) and not item.get_closest_marker(MATRIX_MARK)
