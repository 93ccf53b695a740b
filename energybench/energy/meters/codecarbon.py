"""CodeCarbon's offline estimate of CPU and memory power, for machines without counters.

CodeCarbon has a formula, not a reading: watts by load for the CPU and a constant per memory module,
unless it finds counters of its own. Its `flush()` measures up to now and hands the running totals
to the tracker's output handlers. So one tracker serves all windows; restarting one would count its
energy twice. The totals grow by watts x time, less the 0.3 ms that a read takes (checked over gaps
of 0.01 to 3 s and between two trackers, CodeCarbon 3.3.2). Between reads CodeCarbon's own thread
samples the CPU's load once a second.

What it assumes, by its source (version 3.3.2): the processor's watts at full load are the thermal
design power in its table times the sockets, or 4 W a thread where the table lacks the processor,
or those that the user declares. By load (`cpu_load`) it takes watts x (0.1 + 0.9 x load^3), also of
declared watts; without psutil half of them. Memory has constant watts per guessed module.
"""

import configparser
import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from energybench.energy.assumptions import FORMULAS, Assumptions
from energybench.energy.coverage import WHOLE
from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.quiet import quietly
from energybench.energy.source import CODECARBON, DECLARED, Source
from energybench.energy.units import JOULES_PER_KWH

KINDS = ("cpu", "dram")
CONFIG = ".codecarbon.config"
"""Name of CodeCarbon's configuration, in the home folder and in the present one."""
MOST_WATTS = 100_000
"""The most watts that a user may declare for a part of a machine."""
NEVER_S = 1e6
"""Interval of CodeCarbon's own measurements, which would race with ours; about 12 days."""


class CodeCarbonMeter:
    """Estimates `cpu:estimate` and `dram:estimate`; GPUs are never asked of CodeCarbon.

    `skip` names kinds (`gpu`, `cpu`, `dram`) that a better meter reads. The user declares the watts
    of the processor at full load as `cpu_watts`, those of the memory as `ram_watts`; without them
    CodeCarbon's own configuration counts (`force_cpu_power`, `force_ram_power`). The rest of that
    is overridden: nothing is written, sent or locked. Raises `MeterUnavailable` if nothing is left
    to estimate, CodeCarbon cannot estimate it, or a configuration file cannot be read.
    """

    min_window_s = 1.0
    fallback = True

    def __init__(
        self,
        skip: Collection[str] = (),
        cpu_watts: float | None = None,
        ram_watts: float | None = None,
    ) -> None:
        self._kinds = [kind for kind in KINDS if kind not in skip]
        if not self._kinds:
            raise MeterUnavailable("other meters read all that it would estimate")
        self._totals = _Totals()
        self._tracker = _started_tracker(self._totals, cpu_watts, ram_watts)
        try:
            self._start = self._joules()
        except MeterUnavailable:
            self.close()
            raise

    @classmethod
    def open(cls, context: MeterContext) -> "CodeCarbonMeter":
        """Estimate the kinds that no other meter reads; none where one reads the whole machine."""
        read = KINDS if WHOLE in context.kinds_read else context.kinds_read
        return cls(read, context.cpu_watts, context.ram_watts)

    def domains(self) -> dict[str, Source]:
        """`cpu:estimate` and `dram:estimate`, without the skipped ones.

        The source of one whose watts were declared is `declared_estimate`.
        """
        declared = _declared(self._tracker, self._kinds)
        return {
            f"{kind}:estimate": DECLARED if kind in declared else CODECARBON for kind in self._kinds
        }

    def assumptions(self) -> Assumptions:
        """The watts that CodeCarbon takes for this machine, and where it has them from."""
        return _assumptions(self._tracker, self._kinds)

    def read_joules(self) -> dict[str, float]:
        """Estimated joules per domain since the meter was opened.

        Raises `MeterUnavailable` when CodeCarbon fails or was closed.
        """
        now = self._joules()
        return {f"{kind}:estimate": now[kind] - self._start[kind] for kind in self._kinds}

    def close(self) -> None:
        """Stop CodeCarbon's thread."""
        self._tracker.stop()

    def _joules(self) -> dict[str, float]:
        """Joules per kind since CodeCarbon started."""
        self._totals.latest = None
        self._tracker.flush()  # swallows its errors: then nothing arrives
        if self._totals.latest is None:
            raise MeterUnavailable("CodeCarbon gives no estimate")
        return self._totals.latest


class _Totals:
    """An output handler that keeps the totals of the last `flush`."""

    latest: dict[str, float] | None = None

    def out(self, total: Any, delta: Any) -> None:
        self.latest = {
            "cpu": total.cpu_energy * JOULES_PER_KWH,
            "dram": total.ram_energy * JOULES_PER_KWH,
        }

    def exit(self) -> None:
        """Part of the handler's interface."""


def _declared(tracker: Any, kinds: Collection[str]) -> tuple[str, ...]:
    """The kinds whose watts the user declared, here or in CodeCarbon's own configuration."""
    forced = {"cpu": tracker._force_cpu_power, "dram": tracker._force_ram_power}
    return tuple(kind for kind in KINDS if kind in kinds and forced[kind] is not None)


def _assumptions(tracker: Any, kinds: Collection[str]) -> Assumptions:
    """The figures in `tracker`, for the kinds that it is asked for."""
    from codecarbon._version import __version__
    from codecarbon.external.hardware import CPU
    from codecarbon.external.ram import RAM

    declared = _declared(tracker, kinds)
    processor, known, watts, threads, mode, ram_watts = None, None, None, None, None, None
    for part in tracker._hardware:
        if isinstance(part, RAM):
            ram_watts = float(part.total_power().W) if "dram" in kinds else None
        elif "cpu" not in kinds or getattr(part, "chip_part", "CPU") != "CPU":
            continue  # read better elsewhere, or a memory that CodeCarbon has a sensor for
        else:
            mode = part._mode if isinstance(part, CPU) else type(part).__name__
            processor = part._model
            if mode in FORMULAS:
                watts = float(part._tdp)
                known = None if "cpu" in declared else _is_in_table(part)
                by_thread = known is False and not part._is_generic_tdp
                threads = part._cpu_count if by_thread else None
    return Assumptions(
        estimator=f"codecarbon {__version__}",
        processor=processor,
        processor_known=known,
        cpu_watts=watts,
        cpu_threads=threads,
        mode=mode,
        ram_watts=ram_watts,
        declared=declared,
    )


def _is_in_table(processor: Any) -> bool:
    """Whether CodeCarbon took the watts of `processor` from its table."""
    from codecarbon.core import cpu
    from codecarbon.core.hardware_cache import get_cached_tdp

    if processor._is_generic_tdp:  # 85 W for any processor
        return False
    table: Any = get_cached_tdp(cpu)
    return bool(table._get_cpu_power_from_registry(table.model))


@contextmanager
def _with_a_home() -> Iterator[None]:
    """Let CodeCarbon look for its configuration where the system knows no home of this user."""
    if os.path.isabs(os.path.expanduser("~")):
        yield
        return
    before = dict(os.environ)
    os.environ["HOME"] = os.getcwd()
    try:
        yield
    finally:
        del os.environ["HOME"]
        os.environ.update(before)


@_with_a_home()
def _started_tracker(totals: _Totals, cpu_watts: float | None, ram_watts: float | None) -> Any:
    try:
        with quietly():
            from codecarbon import OfflineEmissionsTracker
            from codecarbon.core.resource_tracker import ResourceTracker
    except ImportError as error:
        raise MeterUnavailable(f"CodeCarbon cannot be imported: {error}") from error
    _check_configuration()

    class Tracker(OfflineEmissionsTracker):
        """Leaves GPUs alone, and measures at every `flush`."""

        def _initialize_hardware_tracking(self) -> None:
            setup: Any = ResourceTracker
            resources = setup(self)
            resources.set_RAM_tracking()
            resources.set_CPU_tracking()

        def _measure_power_and_energy_if_stale(self, min_interval_s: float = 0.0) -> None:
            self._measure_power_and_energy()  # also within 50 ms of the last time

    # Its failures reach the user as MeterUnavailable. It warns before it obeys its log_level.
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    forced: dict[str, Any] = {"force_cpu_power": cpu_watts, "force_ram_power": ram_watts}
    tracker = Tracker(
        **{name: watts for name, watts in forced.items() if watts is not None},
        log_level="critical",
        measure_power_secs=NEVER_S,
        api_call_interval=-1,
        output_methods=[],
        output_handlers=[totals],
        output_dir=".",
        emissions_endpoint=None,
        electricitymaps_api_token=None,
        force_carbon_intensity_g_co2e_kwh=0.0,  # emissions are not asked for
        cloud_provider=None,
        gpu_ids=[],
        tracking_mode="machine",
        rapl_include_dram=False,
        allow_multiple_runs=True,  # otherwise a lock file and signal handlers
        pue=1.0,
    )
    _check_declared(tracker)
    try:
        tracker.start()
    except Exception as error:
        raise MeterUnavailable(f"CodeCarbon cannot start: {error}") from error
    return tracker


def _check_declared(tracker: Any) -> None:
    """Raise `MeterUnavailable` for watts in CodeCarbon's configuration that no part can use."""
    for name in ("force_cpu_power", "force_ram_power"):
        watts = getattr(tracker, f"_{name}")
        if watts is not None and not 0 <= watts <= MOST_WATTS:
            raise MeterUnavailable(
                f"{name} is {watts:g} in CodeCarbon's configuration ({CONFIG} or "
                f"CODECARBON_{name.upper()}); it must be watts, 0 to {MOST_WATTS:,}"
            )


def _check_configuration() -> None:
    """Raise `MeterUnavailable` for a file that CodeCarbon cannot read and would not report."""
    from codecarbon.core.config import read_config_file

    for folder in (Path("~").expanduser(), Path()):
        path = folder.resolve() / CONFIG
        if path.exists() and not path.is_file():
            raise MeterUnavailable(f"CodeCarbon cannot read {path}: it is not a file; remove it")
        try:
            read_config_file(str(path))
        except (ValueError, configparser.Error) as error:  # not text, or not such a file
            raise MeterUnavailable(
                f"CodeCarbon cannot read {path}: {error}; repair or remove it"
            ) from error
