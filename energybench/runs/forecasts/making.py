"""Makes the forecast of a matrix on an open executor."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from energybench import __version__
from energybench.compression.base import required_precision
from energybench.compression.compose import build
from energybench.config import Cell, RunConfig
from energybench.errors import UsageError
from energybench.records.forecast import Forecast, Range
from energybench.records.record import RunRecord
from energybench.runs.executors.base import Costing, Executor
from energybench.runs.facts import Prepared, cell_config, cell_key
from energybench.runs.forecasts.cost import Cost, Costed, Effort
from energybench.runs.forecasts.epochs import likely_epochs
from energybench.runs.forecasts.matrix import CellForecast, MatrixForecast
from energybench.runs.jobs import Job

Asked = tuple[Cell, float | None]
"""A cell, and its own tolerance if it has one."""


class Planner:
    """Measures cells on one executor, those of one model, method and tolerance once."""

    def __init__(
        self, config: RunConfig, executor: Executor, effort: Effort, say: Callable[[str], None]
    ) -> None:
        """`say` is called with a line before each measured cell.

        Raises `UsageError` for an executor that cannot measure the cost of a cell.
        """
        if not isinstance(executor, Costing):
            raise UsageError(
                "this executor cannot measure single steps of a cell, so it cannot plan; "
                "leave out --energy-executor"
            )
        self._config, self._executor, self._effort = config, executor, effort
        self._costing: Costing = executor
        self._say = say
        self._costs: dict[tuple[str, str, float | None], Costed] = {}

    def forecast(
        self, asked: Sequence[Asked], arguments: Sequence[str], like: Sequence[RunRecord] = ()
    ) -> MatrixForecast:
        """Return the forecast of the cells `asked` for; `like` are ended cells."""
        models = tuple(dict.fromkeys(cell.model for cell, _ in asked))
        prepared = {one.model: one for one in self._executor.prepare(models)}
        kinds = {(cell.model, cell.method, own) for cell, own in asked}
        cells = []
        for cell, tolerance in asked:
            place = cell.model, cell.method, tolerance
            if place not in self._costs:
                number = len(self._costs) + 1
                self._say(f"measuring {cell.model} {cell.method} ({number} of {len(kinds)})")
            cells.append(self._of_cell(cell, tolerance, prepared[cell.model], like))
        return MatrixForecast(
            arguments=list(arguments),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            energybench=__version__,
            device_name=self._executor.facts.device_name,
            pue=self._config.measure.pue,
            cells=cells,
            idle_s=self._config.measure.idle_s,
            notes=self._notes(asked),
        )

    def _notes(self, asked: Sequence[Asked]) -> list[str]:
        """Say what the session does before its cells, and the plan leaves out."""
        seeds = {cell.seed for cell, _ in asked}
        if self._executor.facts.vary != "all" or len(seeds) < 2:
            return []
        return [
            "each seed has networks of its own; pretraining those that the cache lacks is not in "
            "the plan (energybench pretrain makes them)"
        ]

    def _of_cell(
        self, cell: Cell, tolerance: float | None, prepared: Prepared, like: Sequence[RunRecord]
    ) -> CellForecast:
        facts = self._executor.facts
        config = cell_config(self._config, prepared, tolerance)
        key = cell_key(cell, config, facts, prepared)
        place = cell.model, cell.method, tolerance
        if place not in self._costs:
            self._costs[place] = self._cost(Job(cell, config, key), prepared)
        found = self._costs[place]
        if found.cost is None:
            return CellForecast(cell, key, None, tolerance, found.error)
        epochs = likely_epochs(cell, config.finetune, prepared.dataset.name, like)
        return CellForecast(cell, key, forecast_of(found.cost, *epochs), tolerance)

    def _cost(self, job: Job, prepared: Prepared) -> Costed:
        required = required_precision(build(job.cell.method))
        lacking = None if required is None else self._executor.facts.lacking.get(required)
        error = prepared.error or lacking
        return Costed(None, error) if error else self._costing.cost(job, self._effort)


def forecast_of(cost: Cost, epochs: Range, epochs_from: str) -> Forecast:
    """Return the forecast of a cell with this cost and these epochs; a pure function."""
    rounds = sorted(cost.rounds)
    middle = rounds[len(rounds) // 2]
    return Forecast(
        seconds_per_epoch=Range(rounds[0], rounds[-1], middle),
        watts=cost.watts,
        epochs=epochs,
        epochs_from=epochs_from,
        outside_s=cost.outside_s,
        steps=cost.steps,
        memory=list(cost.memory),
        notes=list(cost.notes),
        energy_source=cost.energy_source,
        cpu_s_per_epoch=cost.cpu_s_per_epoch,
    )


def without_idle(config: RunConfig) -> RunConfig:
    """Return `config` for planning, which needs no idle power."""
    return replace(config, measure=replace(config.measure, idle_s=0.0))
