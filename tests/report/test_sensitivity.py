"""What a saving would be under other watts than the estimate assumes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.saved_runs import ASSUMED, cell, estimated, save

from energybench.app.cli.main import main
from energybench.app.plugin.cells import _write_table
from energybench.app.plugin.state import PytestRun
from energybench.app.session_options import Options
from energybench.records.record import RunRecord
from energybench.records.saved import read_runs
from energybench.report.caveats import caveats
from energybench.report.facts import facts
from energybench.report.savings import savings
from energybench.report.sections import Section, sections
from energybench.report.sensitivity import estimate_line, savings_under
from energybench.report.tables.other_watts import estimate_tables

PAIR = [estimated(cpu=400.0, memory=600.0), estimated("stego", cpu=200.0, memory=500.0)]
LINE = "estimate: stego saves +30.0 % [memory 0 W: +50.0 %, processor x2: +35.7 %]"


def under(records: Sequence[RunRecord]) -> dict[str, float]:
    (saving,) = savings(records)
    return savings_under(saving)


def test_a_saving_is_computed_again_under_other_watts() -> None:
    assert under(PAIR) == pytest.approx(
        {"memory 0 W": 1 - 200 / 400, "processor x2": 1 - 900 / 1400}
    )
    assert estimate_line(PAIR) == LINE


def test_seeds_are_averaged_as_their_ratios_are() -> None:
    second = [estimated(seed=1, cpu=100.0), estimated("stego", 1, cpu=100.0)]
    assert under([*PAIR, *second])["memory 0 W"] == pytest.approx(1 - (0.5 * 1.0) ** 0.5)


def test_a_measured_energy_has_no_other_watts() -> None:
    measured = [cell(), cell("stego", joules=600.0)]
    assert under(measured) == {}
    assert estimate_line(measured) is None


def test_only_the_estimated_part_is_scaled() -> None:
    records = [_with_gpu(one, joules) for one, joules in zip(PAIR, (1000.0, 900.0), strict=True)]
    assert under(records) == pytest.approx(
        {"memory 0 W": 1 - 1100 / 1400, "processor x2": 1 - 1800 / 2400}
    )


def test_what_moves_no_saving_is_left_out() -> None:
    counters = replace(ASSUMED, cpu_watts=None, cpu_threads=None, mode="intel_rapl")
    assert list(under([replace(one, assumptions=counters) for one in PAIR])) == ["memory 0 W"]
    no_memory = [estimated(memory=0.0), estimated("stego", cpu=100.0, memory=0.0)]
    assert under(no_memory) == {}
    old = [replace(one, assumptions=None) for one in PAIR]
    assert list(under(old)) == ["memory 0 W", "processor x2"], "records of older schemas"


def test_of_many_savings_the_line_has_the_range_and_the_signs_that_turn() -> None:
    models = ("resnet18", "resnet50", "vgg16", "alexnet")
    records = [replace(one, model=model) for model in models[:3] for one in PAIR]
    records += [
        estimated(model="alexnet", cpu=100.0, memory=100.0),
        estimated("stego", model="alexnet", cpu=110.0, memory=80.0),
    ]
    assert estimate_line(records) == (
        "estimate: 4 savings move by -15.0 to +20.0 pp with memory at 0 W, by -5.0 to +5.7 pp with "
        "the processor at twice its watts; the sign changes for alexnet stego"
    )


def test_show_and_the_table_of_a_run_end_with_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", save(tmp_path / "run.json", PAIR)]) == 0
    assert capsys.readouterr().out.endswith(f"\n{LINE}\n")
    assert main(["show", save(tmp_path / "run.json", [cell(), cell("stego")])]) == 0
    assert "estimate:" not in capsys.readouterr().out
    baseline, stego = PAIR
    run: Any = SimpleNamespace(
        cached_baselines={("resnet18", 0): baseline},
        unclaimed=(),
        preparations=(),
        batch_sizes={},
        keeper=SimpleNamespace(complaints=list),
    )
    lines: list[str] = []
    terminal: Any = SimpleNamespace(write_sep=lambda *_: None, write_line=lines.append)
    _write_table(terminal, PytestRun(Options(), run=run, records=[stego]))
    assert lines[1:] == [LINE]


def test_the_page_has_the_savings_the_line_and_the_watts(tmp_path: Path) -> None:
    section = _section(tmp_path, PAIR)
    ((title, table),) = estimate_tables(section)
    assert title == "Savings under other watts"
    assert table.headers == ("model", "method", "as estimated", "memory 0 W", "processor x2")
    assert table.rows == (("resnet18", "stego", "+30.0 %", "+50.0 %", "+35.7 %"),)
    assert LINE in caveats(section)
    assert dict(facts(section))["estimated with"] == str(ASSUMED)
    measured = _section(tmp_path, [cell(), cell("stego")])
    assert estimate_tables(measured) == []
    assert "estimated with" not in dict(facts(measured))


def _section(folder: Path, records: Sequence[RunRecord]) -> Section:
    (section,) = sections(read_runs([save(folder / "run.json", records)]))
    return section


def _with_gpu(record: RunRecord, joules: float) -> RunRecord:
    reading = record.phases["finetune"]
    more = replace(
        reading,
        joules=reading.joules | {"gpu:0": joules},
        sources=reading.sources | {"gpu:0": "nvml_counter"},
    )
    return replace(record, phases={"finetune": more})
