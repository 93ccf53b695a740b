"""Emissions in a report."""

from pathlib import Path
from typing import Any

from support.saved_runs import cell, save

from energybench.energy.carbon import CarbonIntensity, MeanIntensity
from energybench.records.saved import read_runs
from energybench.report.page import markdown, page
from energybench.report.sections import sections
from energybench.report.tables.emitted import emission_table

GRID: dict[str, Any] = {"carbon": CarbonIntensity("FRA", 0.05, "a test")}
HOURS = CarbonIntensity("FR", None, "a file of hours")


def test_cells_have_their_emissions_on_the_page(tmp_path: Path) -> None:
    records = [
        cell(joules=3.6e6, changes=GRID),
        cell("stego", joules=1.8e6, changes=GRID),
        cell("stego", 1, joules=0.9e6, changes=GRID),
    ]
    runs = read_runs([save(tmp_path / "run.json", records)])
    table = emission_table(sections(runs)[0])
    assert table.headers == ("model", "method", "seeds", "energy", "CO2e")
    assert [row[1:] for row in table.rows] == [
        ("baseline", "1", "1 kWh", "50 g"),
        ("stego", "2", "375 Wh", "18.8 g"),
    ]
    assert ">Emissions</h" in page(runs)
    assert "### Emissions" in markdown(runs)


def test_what_is_missing_and_declared_is_said(tmp_path: Path) -> None:
    gap = {"finetune": MeanIntensity(None, "the file has no hour 2026-11-24 03:00")}
    lacking = cell(changes={"carbon": HOURS, "intensities": gap, "embodied_g_per_hour": 36.0})
    table = emission_table(sections(read_runs([save(tmp_path / "run.json", [lacking])]))[0])
    assert table.rows == (("resnet18", "baseline", "1", "278 mWh", "-", "100 mg"),)
    assert table.headers[-1] == "making the machine"
    assert "No CO2e of resnet18 baseline seed 0: the file has no hour" in table.caption
    assert "at 36 g an hour as declared" in table.caption


def test_without_a_grid_there_is_no_table(tmp_path: Path) -> None:
    runs = read_runs([save(tmp_path / "run.json", [cell()])])
    assert emission_table(sections(runs)[0]).rows == ()
    assert "Emissions" not in markdown(runs)
