"""`energybench.measure`: the energy of a block, or of a function, with phases and a record."""

import inspect
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from energybench.energy.measurement import opened, synchronize_torch
from energybench.errors import UsageError
from energybench.files import expanded
from energybench.records.entry import Entry
from energybench.records.metric import ACCURACY, Metric
from energybench.records.script import METHOD
from energybench.registry import METERS
from energybench.runs.scripts.asked import Asked
from energybench.runs.scripts.record import Ending, ending_of
from energybench.runs.scripts.run import Run
from energybench.runs.scripts.saving import check_place, entry_of, is_journal
from energybench.runs.scripts.saving import save as save_entries
from energybench.runs.scripts.trackers import Trackers

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])

_RUNNING: ContextVar[tuple[Run, ...]] = ContextVar("energybench_runs", default=())
"""The runs that this thread or task is in, outermost first."""


def measure(
    name: str | Sequence[str] | None = None,
    pue: float = 1.58,
    synchronize: Callable[[], None] | None = None,
    gpu_uuids: Sequence[str] | None = None,
    exclusive: bool = True,
    wait: bool = True,
    replay: str | None = None,
    wall_meter: str | None = None,
    *,
    meters: str | Sequence[str] = ("auto",),
    save: str | Path | None = None,
    method: str = METHOD,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    metric: Metric = ACCURACY,
) -> "Measuring":
    """Measure the energy of a block: `with energybench.measure() as run:`, or of a function.

    As a decorator it measures every call of a function or a coroutine function; `current_run()`
    is the run within it.

    `meters` are names of meters or "auto"; `replay` is the trace file of the meter "replay".
    `wall_meter` is the plug that the machine is on, as "shelly:HOST" or "tasmota:HOST", or its
    board's controller, as "redfish:HOST": its energy is then the total. `pue` is the facility
    energy per IT energy (>= 1). GPUs are read if CUDA shows them to this process and it is certain
    which: those that `CUDA_VISIBLE_DEVICES` names, or the machine's only one.
    `gpu_uuids`, as `torch.cuda.get_device_properties(0).uuid` gives them, names others, and ()
    none. `synchronize` waits for the GPUs at both ends; by default PyTorch does, if it is using
    them.

    A `name` makes a record, whose `model` it is; `method` and `seed` tell runs of one name apart.
    `save` is a file for it: a run (`run.json`), which replaces an earlier one of scripts, or a
    journal (`journal.jsonl`), to which it is added. `settings` are what the script says of its data
    and training; runs with other ones are not compared. `metric` judges the run by the number that
    is logged last under its name, or under that with "test_", "eval_", "val_" or "validation_"
    before it. A named run also logs its energy to MLflow and Weights & Biases, where these have an
    active run.

    Two measurements at once would read each other's energy. So an `exclusive` block holds the
    devices that it reads, and the CPU, against other processes. While another process measures on
    them, the block waits after a line in the log; with `wait=False` it raises `UsageError` instead.
    Blocks of one process may be nested, also inside a run of the suite. `exclusive=False` measures
    without regard to others.

    Raises `UsageError` for an unknown name, a named meter that is not available, a `pue` that is
    not 1 to 100, and a file that cannot be saved to.
    """
    if name is not None and save is None and _names_meters(name):
        warnings.warn(
            f"measure({name!r}) is now measure(meters={name!r}); the first argument names the run",
            DeprecationWarning,
            stacklevel=2,
        )
        meters, name = name, None
    asked = Asked(
        name=cast("str | None", name),
        meters=meters,
        pue=pue,
        synchronize=synchronize,
        gpu_uuids=gpu_uuids,
        exclusive=exclusive,
        wait=wait,
        replay=replay,
        wall_meter=wall_meter,
        save=None if save is None else expanded(str(save)),
        method=method,
        seed=seed,
        settings={} if settings is None else settings,
        metric=metric,
    )
    return Measuring(asked)


def current_run() -> Run:
    """The innermost run of `measure` that this thread or task is in.

    Raises `UsageError` outside of any.
    """
    if not _RUNNING.get():
        raise UsageError(
            "nothing is measured here; call current_run() within a block or function of measure()"
        )
    return _RUNNING.get()[-1]


def _names_meters(name: object) -> bool:
    """Whether the first argument is that of energybench before it named the run."""
    return not isinstance(name, str) or name == "auto" or name in METERS.names()


class Measuring:
    """What `measure` returns: a context manager that gives a `Run`, and a decorator."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._saved: list[Entry] = []
        self._entered: list[Started] = []

    def __enter__(self) -> Run:
        self._require_name()
        self._entered.append(self.begin())
        return self._entered[-1].run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.pop().end(ending_of(error), (kind, error, traceback))

    def __call__(self, function: Function) -> Function:
        """Return `function`, measured at every call.

        Raises `UsageError` for a class and for generator functions, whose body runs elsewhere.
        """
        if inspect.isclass(function) or not callable(function):
            raise UsageError(f"measure() decorates functions, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(
                f"measure() cannot decorate the generator {function.__qualname__}, whose body runs "
                "between other code; write `with energybench.measure():` within it"
            )
        name = getattr(function, "__qualname__", type(function).__name__)
        own = self if self.asked.name is not None or self.asked.save is None else self._named(name)
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def measured_task(*args: Any, **kwargs: Any) -> Any:
                with Measuring._sharing(own):
                    return await function(*args, **kwargs)

            return cast(Function, measured_task)

        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with Measuring._sharing(own):
                return function(*args, **kwargs)

        return cast(Function, measured)

    def _named(self, name: str) -> "Measuring":
        """The same, of a run with this name."""
        return Measuring(replace(self.asked, name=name))

    @classmethod
    def _sharing(cls, other: "Measuring") -> "Measuring":
        """One for a single call, so that calls may overlap; all calls save to one file."""
        own = cls(other.asked)
        own._saved = other._saved
        return own

    def begin(self, **changes: Any) -> "Started":
        """Start a run; `changes` replace what was asked. For callbacks, which have no block."""
        asked = replace(self.asked, **changes)
        if asked.save is not None:
            check_place(asked.save)
        with ExitStack() as stack:
            meters = stack.enter_context(
                opened(
                    asked.meters,
                    asked.gpu_uuids,
                    asked.exclusive,
                    asked.wait,
                    asked.replay,
                    asked.wall_meter,
                )
            )
            wait = asked.synchronize or synchronize_torch
            window = stack.enter_context(meters.window(wait))
            run = Run(asked, meters, window, wait)
            started = Started(run, stack.pop_all(), asked, self._saved, Trackers())
        started.trackers.look()
        _RUNNING.set((*_RUNNING.get(), run))
        return started

    def _require_name(self) -> None:
        if self.asked.save is not None and self.asked.name is None:
            raise UsageError(
                f'a run that is saved needs a name: measure("NAME", save="{self.asked.save}")'
            )


_Raised = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
_NOTHING: _Raised = (None, None, None)


@dataclass
class Started:
    """A run that has begun: what ends it, and where its record goes."""

    run: Run
    stack: ExitStack
    asked: Asked
    saved: list[Entry]
    trackers: Trackers

    def end(self, ending: Ending, raised: _Raised = _NOTHING) -> None:
        """Close the windows and meters, then save the record.

        `raised` is what ended the block. Raises what waiting for the device or closing a meter
        raises, once the record is saved, unless the block had an error of its own.
        """
        _RUNNING.set(tuple(run for run in _RUNNING.get() if run is not self.run))
        self.trackers.look()  # others may end their runs before this one ends
        failure: Exception | None = None
        try:
            try:
                self.run.prepare_end()
            finally:
                self.stack.__exit__(*raised)
        except Exception as error:
            failure = error if ending.status == "ok" else None
        self.run.end(ending if failure is None else ending_of(failure))
        if self.asked.name is not None:
            self._keep()
        if failure is not None:
            raise failure

    def _keep(self) -> None:
        """Save the record; the script's own work is done, so a failure is a line in the log."""
        try:
            self._save()
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            log.warning("%s: cannot keep the run: %s", self.asked.name, told)

    def _save(self) -> None:
        record = self.run.record
        why = record.phases[record.main_phase].why_missing
        if why is not None:
            log.warning("no energy of %s: %s", self.asked.name, why)
        if self.asked.save is not None:
            if is_journal(self.asked.save):
                self.saved.clear()  # it has the runs before this one
            self.saved.append(entry_of(record))
            save_entries(self.asked.save, self.saved)
        self.trackers.log(record)
