"""Joules per call beside pytest-benchmark's seconds: the fixture `energy`, and what it shares with
the option `--energy`."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from energybench.app.plugin.exporting import export_call
from energybench.app.plugin.options import with_flag
from energybench.app.plugin.running import open_session, sayer
from energybench.app.plugin.state import RUN, PytestRun
from energybench.errors import EnergybenchError

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from energybench.app.plugin.rounds import Rounds
    from energybench.app.plugin.rounds.hooked import Means
    from energybench.records.calls import CallEnergy


@dataclass
class Calls:
    """The energies per call of one session, and what measures them."""

    means: "Means | None" = None
    """None before the first measuring test, and where the meters cannot be opened."""
    results: "dict[str, CallEnergy]" = field(default_factory=dict)
    """Full name of a test -> the energy of its calls."""


CALLS = pytest.StashKey[Calls]()
_ROUNDS: "pytest.StashKey[Rounds]" = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Begin without results."""
    config.stash[CALLS] = Calls()


@pytest.fixture
def energy(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Benchmark a function and measure the energy of one call.

    `energy(benchmark, fn, *args, **kwargs)` is `benchmark(fn, *args, **kwargs)` with an energy
    window around its rounds; further calls of `fn` make it long enough for the meters (see
    `--energy-meter`). Joules per call are in the benchmark's `extra_info["energy"]` and in a table
    of their own. Returns what `fn` returns. A test without energy fails where `--energy-require`
    holds. Under `--benchmark-disable` nothing is measured. `--energy` does the same for all tests.
    """

    def run(
        benchmark: "BenchmarkFixture", fn: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if not benchmark.disabled:
            try:
                measure_rounds(benchmark, request.node)
            except EnergybenchError as error:
                pytest.fail(with_flag(error), pytrace=False)
        return benchmark(fn, *args, **kwargs)

    return run


def measure_rounds(benchmark: "BenchmarkFixture", item: pytest.Item) -> None:
    """Let the rounds of a test's benchmark have energy windows, if they have none yet.

    The first measuring test opens the meters and waits for the machine. Raises `UsageError` where
    that is not possible.
    """
    if _ROUNDS in item.stash:
        return
    from energybench.app.plugin.rounds import Rounds
    from energybench.records.calls import KEY

    calls = item.config.stash[CALLS]
    means = calls.means = calls.means or _means(item.config, item.config.stash[RUN])

    def keep(found: "CallEnergy") -> None:
        found = found.with_assumptions(means.length.meters.assumptions)
        benchmark.extra_info[KEY] = found.to_json()
        calls.results[benchmark.fullname] = found
        seconds = None if benchmark.stats is None else benchmark.stats.stats.mean
        export_call(
            item.config,
            benchmark.fullname,
            found.joules_per_call,
            seconds,
            found.watts,
            "+".join(sorted(set(found.sources.values()))) or "none",
        )

    item.stash[_ROUNDS] = Rounds(benchmark, means, keep)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Measure the calls that follow a test's function; fail a test that must have energy."""
    result = yield
    rounds = item.stash.get(_ROUNDS, None)
    if rounds is None or getattr(item, "_excinfo", None):  # a `unittest` test keeps its failure
        return result
    rounds.finish()
    found = item.config.stash[CALLS].results.get(item.nodeid)
    why = None if found is None else found.why_missing
    if why is not None and item.config.stash[RUN].options.run.measure.requires_energy:
        pytest.fail(f"no energy: {why}", pytrace=False)
    return result


def _means(config: pytest.Config, run: PytestRun) -> "Means":
    from energybench.app.plugin.rounds.hooked import Means
    from energybench.energy.call_window import Length
    from energybench.energy.measurement import synchronize_torch

    repeats = run.options.repeats
    if run.run is not None:
        session = open_session(config)
        return Means(Length(session.meters, repeats), session.synchronize)
    from dataclasses import replace

    from energybench.energy.measurement import gpus
    from energybench.energy.opening import open_for_use

    measure = run.options.run.measure
    with ExitStack() as stack:
        context = replace(gpus(), **measure.told_to_meters())
        opened = open_for_use(measure.meters, context, run.options.wait, sayer(config))
        meters = stack.enter_context(opened)
        config.add_cleanup(stack.pop_all().close)
    return Means(Length(meters, repeats), synchronize_torch)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table of joules per call."""
    calls = config.stash.get(CALLS, None)
    if calls is None or not calls.results:
        return
    from energybench.report.tables.calls import call_table

    options = config.stash[RUN].options
    terminalreporter.write_sep("-", "energybench: energy per call")
    terminalreporter.write_line(call_table(calls.results, options.columns, options.sort))
