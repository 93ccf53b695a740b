"""What a user asks of one session beside the values of its run; declared as in `config`."""

from dataclasses import dataclass, field

from energybench.config import CALL_COLUMNS, CALL_ORDERS, GATES, OBSERVED, RunConfig
from energybench.rules import check, option

DEFAULT_JOURNAL = ".energybench/journal.jsonl"
"""File of finished cells, relative to the folder of the run."""


@dataclass(frozen=True)
class Options:
    """Everything that a user asks of one session: its cells, how they run, what is kept of them."""

    models: tuple[str, ...] | None = option(
        None, "models to run, comma-separated", default_text="as marked"
    )
    methods: tuple[str, ...] | None = option(
        None,
        "methods to run, comma-separated; `a+b` composes: `lowrank+stego`; `stego@12`, `prune@0.5` "
        "give a setting instead of searching it",
        default_text="as marked",
    )
    seeds: int = option(1, "number of seeds per model and method", at_least=1, at_most=10_000)
    floor: int | None = option(
        None,
        "repeated baselines (`baseline-again`) per model and seed; they show how far two equal "
        "cells lie apart, the noise floor of every saving",
        default_text="as marked",
        at_least=0,
        at_most=100,
    )
    run: RunConfig = field(default_factory=RunConfig)
    world_size: int = option(
        1,
        "processes that run each cell together, one per GPU; each batch is split among them",
        at_least=1,
        at_most=10_000,
    )
    executor: str = option(
        "auto",
        "hardware that runs the cells: `auto` for this process or its ranks, or an executor of "
        "another package, by name",
    )
    journal: str = option(DEFAULT_JOURNAL, "file that keeps each cell as soon as it is finished")
    resume: bool = option(False, "skip the cells that the journal has")
    checkpoint: bool = option(
        False, "save each cell after every epoch, so that `--energy-resume` continues within it"
    )
    compare: str | None = option(
        None,
        "saved run to compare this one with: a file, or an id in `.benchmarks/`; without a value "
        "the last one there",
        bare="latest",
    )
    compare_fail: str | None = option(
        None,
        "fail where this run is worse than the saved one by more: `kwh:5%,accuracy:1pp`, "
        "`joules:10%` for energies per call",
    )
    gate: str = option(
        OBSERVED,
        "what fails a cell: `observed`, a drop beyond the tolerance, or `confident`, only a drop "
        "whose 95 % interval is beyond it; the rest is reported as undecided",
        choices=GATES,
    )
    plan: str | None = option(
        None,
        "plan that `energybench plan -o FILE.json` made: records keep the forecast of their cell, "
        "and the summary says how good it was",
    )
    exports: tuple[str, ...] = option(
        (),
        "where to send each cell as soon as it is finished, for a dashboard: "
        "`prometheus:FILE.prom`, which node_exporter reads, or `otlp`; may be given several times",
        name="export",
        repeats=True,
    )
    no_wait: bool = option(
        False, "fail at once while another measurement runs on this machine, instead of waiting"
    )

    per_call: bool = option(
        False,
        "measure the joules per call of every pytest-benchmark test",
        name="",
    )
    repeats: int = option(
        1,
        "least number of windows per test; five or more give an interval",
        at_least=1,
        at_most=1000,
    )
    columns: tuple[str, ...] = option(
        CALL_COLUMNS,
        f"columns of the table of joules per call, of {', '.join(CALL_COLUMNS)}",
        choices=CALL_COLUMNS,
        default_text="all",
    )
    sort: str | None = option(
        None,
        f"order of that table: {', '.join(CALL_ORDERS)}",
        choices=CALL_ORDERS,
        default_text="as they ran",
    )

    attach: str | None = option(
        None,
        "folder of a run that `energybench submit` sent to a cluster: show its results as they "
        "come, and measure nothing",
        name="run",
    )
    kind: str | None = option(None, "kind of machine to show of that run, where it is on several")
    block: int | None = option(
        None,
        "block of that run to measure here; `energybench run-block` gives it",
        at_least=0,
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def wait(self) -> bool:
        """Whether to wait while another measurement runs on this machine."""
        return not self.no_wait
