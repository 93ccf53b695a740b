"""Sections of a report: the cells and studies of one run on one machine."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.records.studies import (
    Answered,
    Check,
    Generation,
    Inference,
    Intensity,
    OperatingPoint,
    Study,
    Throughput,
    read_studies,
)
from energybench.registry import BASELINE, is_repeat
from energybench.report.comparison import machine_groups
from energybench.report.floor import Floor, floor
from energybench.report.rows import Row, RowKey, in_order, labels, rows
from energybench.report.savings import Saving, saved_in
from energybench.report.scores import metric_names


@dataclass(frozen=True)
class Section:
    """The cells of one run that one machine measured; cells are compared within a section."""

    label: str
    machine: str
    records: tuple[RunRecord, ...]
    notes: tuple[str, ...] = ()
    studies: tuple[Study, ...] = ()
    commit: str | None = None
    """Commit of the code that measured it; None where that is not known."""
    measured_on: str | None = None
    """Day on which it was measured, as 2026-11-24; None where that is not known."""
    contributed_by: str | None = None
    """Who signed the run off as a contribution, without an address; None for most."""
    answered: tuple[Answered, ...] = ()
    """What answers take on this machine, of all runs of the report."""

    @cached_property
    def rows(self) -> dict[RowKey, Row]:
        """Finished cells by model, method and setting, in the order of every table."""
        found = rows(self.records)
        return {key: found[key] for key in in_order(found)}

    @cached_property
    def labels(self) -> dict[RowKey, str]:
        """Row -> the settings that no other row of its model and method has; mostly empty."""
        return labels(self.rows)

    @cached_property
    def noise(self) -> Floor | None:
        """How far equal cells differ in energy; None where no baseline was repeated."""
        return floor(self.records)

    @cached_property
    def savings(self) -> dict[RowKey, Saving]:
        """The savings of every method whose baseline is in the section."""
        found = {saving.key: saving for saving in saved_in(self.rows, self.noise)}
        return {key: found[key] for key in self.rows if key in found}

    @property
    def known(self) -> list[Saving]:
        """The savings whose energies are known."""
        return [saving for saving in self.savings.values() if saving.energy is not None]

    @property
    def models(self) -> list[str]:
        """The models in the order of the run."""
        return list(dict.fromkeys(key.model for key in self.rows))

    @property
    def methods(self) -> list[str]:
        """The methods without the baseline and its repetitions, in the order of every table."""
        names = dict.fromkeys(key.method for key in self.rows)
        return [name for name in names if name != BASELINE and not is_repeat(name)]

    @property
    def metric(self) -> str:
        """The name of the metric of all cells; "metric" if there are several."""
        names = metric_names(self.finished)
        return names[0] if len(names) == 1 else "metric"

    @property
    def items(self) -> str:
        """The plural of the data's items, such as "images"."""
        return " or ".join(dict.fromkeys(one.dataset.items for one in self.finished)) or "items"

    @property
    def failed(self) -> list[RunRecord]:
        """The cells that failed."""
        return [record for record in self.records if record.status != "ok"]

    @cached_property
    def estimated(self) -> bool:
        """Whether any energy in the section is an estimate."""
        return any(record.estimated for record in self.finished) or any(
            one.estimated for one in self.studies
        )

    @property
    def intensities(self) -> list[Intensity]:
        """The measurements of training steps against the device's ceilings."""
        return [one for one in self.studies if isinstance(one, Intensity)]

    @property
    def inferences(self) -> list[Inference]:
        """The measurements of inference with finalized models."""
        return [one for one in self.studies if isinstance(one, Inference)]

    @property
    def generations(self) -> list[Generation]:
        """The measurements of answers that finalized language models write."""
        return [one for one in self.studies if isinstance(one, Generation)]

    @property
    def throughputs(self) -> list[Throughput]:
        """The measurements of training steps beside timm's."""
        return [one for one in self.studies if isinstance(one, Throughput)]

    @property
    def checks(self) -> list[Check]:
        """The questions that the machine was asked beside its cells and studies."""
        return [one for one in self.studies if isinstance(one, Check)]

    @property
    def operating_points(self) -> list[OperatingPoint]:
        """The fine-tunings at several batch sizes, arithmetics and power limits."""
        return [one for one in self.studies if isinstance(one, OperatingPoint)]

    @property
    def finished(self) -> list[RunRecord]:
        """The records that `rows` holds."""
        return [record for row in self.rows.values() for record in row.values()]


def sections(runs: Iterable[Run]) -> list[Section]:
    """Return one section per run and machine, in the order of the runs.

    Raises `UsageError` for a run with neither cells nor studies.
    """
    found = [section for run in runs for section in _of_run(run)]
    answered: dict[str, list[Answered]] = {}
    for section in found:
        answered.setdefault(section.machine, []).extend([*section.inferences, *section.generations])
    return [replace(one, answered=tuple(answered[one.machine])) for one in found]


def _of_run(run: Run) -> list[Section]:
    studies = read_studies(run.extras)
    groups = machine_groups(run.records)
    machines = dict.fromkeys([*groups, *(one.device_name for one in studies)])
    if not machines:
        raise UsageError(f"{run.path} has no energybench records; was it another benchmark's?")
    return [
        Section(
            run.label,
            machine,
            tuple(groups.get(machine, ())),
            run.notes,
            tuple(one for one in studies if one.device_name == machine),
            run.commit,
            run.measured_on,
            None if run.contribution is None else run.contribution.name,
        )
        for machine in machines
    ]
