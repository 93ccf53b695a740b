"""The fixture `energy`: joules per call beside pytest-benchmark's seconds, for any test."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from energybench.app.plugin.exporting import export_call
from energybench.app.plugin.options import with_flag
from energybench.app.plugin.running import open_session
from energybench.app.plugin.state import RUN, PytestRun
from energybench.errors import EnergybenchError

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from energybench.energy.per_call import PerCall
    from energybench.energy.windows import MeterSet


@dataclass
class _Session:
    """The open meters of one session, and the results of its tests."""

    meters: "MeterSet"
    synchronize: Callable[[], None]
    results: "dict[str, PerCall]" = field(default_factory=dict)


SESSION = pytest.StashKey[_Session]()


@pytest.fixture
def energy(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """Benchmark a function and measure the energy of one call.

    `energy(benchmark, fn, *args, **kwargs)` is `benchmark(fn, *args, **kwargs)`, and then calls
    `fn` again until the window is long enough for the meters (see `--energy-meter`). Joules per
    call are in the benchmark's `extra_info["energy"]` and in a table of their own. Returns what
    `fn` returns. A test without energy fails where `--energy-require` holds. Under
    `--benchmark-disable` nothing is measured.
    """

    def run(
        benchmark: "BenchmarkFixture", fn: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        from energybench.energy.per_call import per_call

        result = benchmark(fn, *args, **kwargs)
        if benchmark.disabled or benchmark.stats is None:
            return result
        try:
            session = _session(pytestconfig)
        except EnergybenchError as error:
            pytest.fail(with_flag(error), pytrace=False)
        mean_s = benchmark.stats.stats.mean
        found = per_call(lambda: fn(*args, **kwargs), session.meters, session.synchronize, mean_s)
        benchmark.extra_info["energy"] = {
            "joules_per_call": found.it_joules,
            "domains": found.joules,
            "watts": found.reading.watts,
            "calls": found.calls,
            "window_s": found.reading.duration_s,
            "sources": found.reading.sources,
            "flags": found.reading.flags,
            "unavailable": found.reading.unavailable,
        }
        session.results[benchmark.fullname] = found
        reading = found.reading
        export_call(
            pytestconfig,
            benchmark.fullname,
            found.it_joules,
            mean_s,
            reading.watts,
            reading.source,
        )
        why = found.reading.why_missing
        if why is not None and pytestconfig.stash[RUN].options.run.measure.requires_energy:
            pytest.fail(f"no energy: {why}", pytrace=False)
        return result

    return run


def _session(config: pytest.Config) -> _Session:
    """Return the open meters; the first measuring test opens them and waits for the machine."""
    if SESSION not in config.stash:
        config.stash[SESSION] = _open(config, config.stash[RUN])
    return config.stash[SESSION]


def _open(config: pytest.Config, run: PytestRun) -> _Session:
    from energybench.energy.measurement import synchronize_torch

    if run.run is not None:
        session = open_session(config)
        return _Session(session.meters, session.synchronize)
    from dataclasses import replace

    from energybench.energy.measurement import gpus
    from energybench.energy.opening import open_for_use

    measure = run.options.run.measure
    reporter = config.pluginmanager.getplugin("terminalreporter")
    say: Callable[[str], None] = reporter.write_line if reporter else lambda line: None
    with ExitStack() as stack:
        context = replace(gpus(), **measure.told_to_meters())
        opened = open_for_use(measure.meters, context, run.options.wait, say)
        meters = stack.enter_context(opened)
        config.add_cleanup(stack.pop_all().close)
    return _Session(meters, synchronize_torch)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table of joules per call."""
    session = config.stash.get(SESSION, None)
    if session is None or not session.results:
        return
    from energybench.report.tables.calls import per_call_table

    terminalreporter.write_sep("-", "energybench: energy per call")
    terminalreporter.write_line(per_call_table(session.results))
