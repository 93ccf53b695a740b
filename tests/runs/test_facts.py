"""The keys of cells and baselines, and the record, have the watts behind an estimate."""

from dataclasses import replace

from support.saved_runs import ASSUMED, DATASET

from energybench.config import Cell, MeasureConfig, RunConfig
from energybench.energy.machine import describe_machine
from energybench.records.flat_keys import flat_keys
from energybench.records.record import from_json
from energybench.runs.facts import Facts, Prepared, baseline_file, cell_key
from energybench.runs.measured import Context, Measured, record_of

CONFIG = RunConfig()
CELL = Cell("resnet18", "baseline")
PREPARED = Prepared("resnet18", DATASET, "k00")
FACTS = Facts(describe_machine(), "cpu", "a processor", 2, 1)
DECLARED = replace(ASSUMED, ram_watts=0.0, declared=("dram",))


def test_other_watts_are_another_cell_and_another_baseline() -> None:
    facts = [replace(FACTS, assumptions=one) for one in (None, ASSUMED, DECLARED)]
    assert len({cell_key(CELL, CONFIG, one, PREPARED) for one in facts}) == 3
    assert len({baseline_file(CELL, CONFIG, one, PREPARED) for one in facts}) == 3


def test_the_record_keeps_the_watts_and_that_they_are_a_fallback() -> None:
    context = Context(CELL, CONFIG, replace(FACTS, assumptions=ASSUMED), DATASET)
    record = record_of(context, Measured(), None)
    assert record.assumptions == ASSUMED
    assert from_json(record.to_json()).assumptions == ASSUMED
    headline = flat_keys(record)
    assert (headline["estimate_cpu_watts"], headline["estimate_ram_watts"]) == (8.0, 20.0)
    measured = record_of(Context(CELL, CONFIG, FACTS, DATASET), Measured(), None)
    assert measured.assumptions is None
    assert "estimate_cpu_watts" not in flat_keys(measured)


def test_declared_watts_reach_the_meters() -> None:
    told = MeasureConfig(cpu_watts=65.0, ram_watts=0.0).told_to_meters()
    assert told["cpu_watts"] == 65.0
    assert told["ram_watts"] == 0.0


def test_another_grid_or_figure_is_another_cell() -> None:
    def key(**measure: object) -> str:
        asked = replace(CONFIG, measure=MeasureConfig(**measure))  # type: ignore[arg-type]
        return cell_key(CELL, asked, FACTS, PREPARED)

    keys = [
        key(),
        key(country="FRA"),
        key(intensity_file="a.csv"),
        key(intensity_file="a.csv", intensity_zone="FR"),
        key(intensity_file="b.csv"),
        key(embodied_g_per_hour=1.0),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == cell_key(CELL, CONFIG, FACTS, PREPARED)
