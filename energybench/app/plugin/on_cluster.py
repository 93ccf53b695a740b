"""Sessions of a run on a cluster: one that runs a block of it, and one that shows it."""

import json
import os
import socket
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

import pytest

from energybench.app.plugin.state import RUN, OnCluster, PytestRun, cell_of
from energybench.app.plugin.torchrun import rank, write_no_files
from energybench.errors import UsageError, legible

if TYPE_CHECKING:
    from energybench.config import RunConfig
    from energybench.progress import Progress
    from energybench.records.event import Origin
    from energybench.runs.clusters.attached import Attached
    from energybench.runs.clusters.plan import ArrayTask
    from energybench.runs.facts import Prepared


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the plan of the run that the session belongs to."""
    state = config.stash[RUN]
    options = state.options
    if options.attach is None:
        for name, value in (("kind", options.kind), ("block", options.block)):
            if value is not None:
                raise pytest.UsageError(f"--energy-{name} is of a run; name it by --energy-run")
        return
    from energybench.runs.clusters.plan import RunFolder

    folder = RunFolder(options.attach)
    try:
        plan = folder.plan()
        task = None if options.block is None else plan.task(options.block)
    except UsageError as error:
        raise pytest.UsageError(f"--energy-run: {error}") from error
    state.cluster = OnCluster(folder, plan, task)
    config.pluginmanager.register(_Session(config, state, state.cluster))


class _Session:
    """The hooks of a session that belongs to a run on a cluster."""

    def __init__(self, config: pytest.Config, state: PytestRun, cluster: OnCluster) -> None:
        self._config, self._state, self._cluster = config, state, cluster
        self._done: set[str] = set()
        """Ids of tests that passed, or that cannot run here."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the tests of the block, or of the plan, and check that it is the same run."""
        plan, task = self._cluster.plan, self._cluster.task
        _check_options(plan.config, self._state.options.run)
        blocks = plan.blocks if task is None else (task.block,)
        wanted = {(block.model, block.seed) for block in blocks}
        kept: list[pytest.Item] = []
        for item in items:
            cell = cell_of(item)
            if cell is not None and (task is None or (cell.model, cell.seed) in wanted):
                kept.append(item)
        found = [cell for item in kept if (cell := cell_of(item)) is not None]
        planned = {cell for block in blocks for cell in block.cells}
        others = [str(cell) for cell in dict.fromkeys(found) if cell not in planned]
        lacking = [str(cell) for cell in sorted(planned - set(found), key=str)]
        if task is not None and (others or lacking):
            raise pytest.UsageError(
                "the tests here are others than those of the plan: "
                f"{', '.join([*others, *lacking][:4])}; submit again from these files"
            )
        if others:
            raise pytest.UsageError(
                f"the plan has no {others[0]}; attach with the arguments of the submission"
            )
        left_out = [item for item in items if item not in kept]
        items[:] = kept
        self._config.hook.pytest_deselected(items=left_out)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Let a block write no file but its journal; the attached session writes the others."""
        if self._cluster.task is not None:
            write_no_files(self._config)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a test that is done."""
        if report.skipped or (report.when == "call" and report.passed):
            self._done.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Note in the journal that every cell of the block has its result."""
        run = self._state.run
        if self._cluster.task is None or run is None or rank():
            return
        from energybench.records.event import ENDED

        if not run.keeper.has_all:
            self._rescue(self._cluster.task)

        interrupted = any(record.status == "interrupted" for record in self._state.measured)
        done = self._done | self._state.resulted
        whole = all(item.nodeid in done for item in session.items)
        if whole and not interrupted and run.keeper.has_all:
            with suppress(UsageError):  # then the block counts as unfinished, and resumes
                run.keeper.note(ENDED)

    def _rescue(self, task: "ArrayTask") -> None:
        """Keep cells that the run's folder did not take in the cache, and say so in the log."""
        from energybench.files import cache_folder
        from energybench.runs.run import Run

        run, journal = self._state.run, self._cluster.folder.journal(task)
        assert isinstance(run, Run)
        try:
            place = cache_folder("rescued") / f"{self._cluster.plan.id}-{task.name}.jsonl"
            run.keeper.rescue(place)
        except UsageError as error:
            line = f"cells of {task.name} are lost: {error}"
        else:
            line = f"cells of {task.name} are in {place}; append it to {journal}, or run them again"
        print(f"energybench: {legible(line)}", file=sys.stderr, flush=True)


def _check_options(planned: dict[str, object], own: "RunConfig") -> None:
    """Raise pytest's `UsageError` where this session's options are not those of the plan."""
    given = json.loads(json.dumps(asdict(own)))
    names = [name for name in _flat(given) if _flat(given)[name] != _flat(planned).get(name)]
    if names:
        raise pytest.UsageError(
            f"the options differ from the plan's in {', '.join(names[:4])}; "
            "give those of the submission"
        )


def _flat(values: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= _flat(value) if isinstance(value, dict) else {name: value}
    return found


def attached(config: pytest.Config, cluster: OnCluster, say: Callable[[str], None]) -> "Attached":
    """Return the results of the run that a session shows, after a line to `say`.

    Raises `UsageError` for a kind that the run lacks.
    """
    from energybench.app.plugin.live_lines import LiveLines
    from energybench.runs.clusters.attached import Attached

    state = config.stash[RUN]
    reporter = config.pluginmanager.getplugin("terminalreporter")
    lines = LiveLines(state.terminal, reporter.ensure_newline if reporter else lambda: None)

    options = state.options
    run = Attached(cluster.folder, cluster.plan, options.kind, options.run, lines.show)
    say(f"attached to {legible(str(cluster.folder))}; Ctrl-C detaches, and the jobs go on")
    return run


def origin() -> "Origin":
    """Where this block runs, as its engine tells."""
    from energybench.records.event import Origin

    given = os.environ
    job = given.get("SLURM_ARRAY_JOB_ID") or given.get("SLURM_JOB_ID")
    job = job or given.get("ENERGYBENCH_JOB")
    index = given.get("SLURM_ARRAY_TASK_ID")
    restart = given.get("SLURM_RESTART_COUNT", "")
    return Origin(
        node=given.get("SLURMD_NODENAME") or given.get("ENERGYBENCH_NODE") or socket.gethostname(),
        job=f"{job}_{index}" if job and index else job,
        restart=int(restart) if restart.isdecimal() else 0,
    )


def live_progress(cluster: OnCluster, terminal: TextIO | None) -> "Progress | None":
    """The progress of a block, for those who watch it; None where the session runs none."""
    from energybench.runs.clusters.live import LiveProgress

    if cluster.task is None:
        return None
    file = cluster.folder.live(cluster.task)
    return LiveProgress(terminal, lambda: None, file, node=origin().node)


def check_data(cluster: OnCluster, prepared: "Collection[Prepared]") -> None:
    """Raise `UsageError` where the data of this node are not those of the plan."""
    for one in prepared:
        if one.dataset.fingerprint != cluster.plan.data:
            raise UsageError(
                f"the data {one.dataset.name} are others here (fingerprint "
                f"{one.dataset.fingerprint}) than where the run was submitted "
                f"({cluster.plan.data}); make them the same on every node"
            )
