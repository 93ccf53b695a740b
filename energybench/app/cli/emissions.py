"""`energybench emissions`: add a grid's emissions to a saved run, once its hours are published."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.app.cli.arguments import add_options, run_config
from energybench.app.cli.output import JSON, output_path, write_text
from energybench.errors import UsageError, printable
from energybench.records.flat_keys import flat_keys

if TYPE_CHECKING:
    from energybench.config import MeasureConfig
    from energybench.energy.grid import Grid
    from energybench.records.record import RunRecord

_GRID = ("intensity-file", "intensity-zone", "intensity-factors", "country")
_EMBODIED = "embodied-grams-per-hour"
_KEYS = ("kg_co2e", "kg_co2e_embodied")
"""Keys of `extra_info` that follow from the grid and the figure."""


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `emissions` to the commands."""
    command = commands.add_parser(
        "emissions", help="add the emissions of a grid to a saved run, by the hours of its windows"
    )
    command.add_argument("run_name", metavar="RUN.json", help="JSON as pytest-benchmark saved it")
    add_options(command, *_GRID, _EMBODIED)
    command.add_argument("-o", "--output", required=True, metavar="NEW.json")
    command.set_defaults(run=_emissions)


def _emissions(options: argparse.Namespace) -> None:
    measure = run_config(options).measure
    asked = (measure.country, measure.intensity_file, measure.embodied_g_per_hour)
    if all(one is None for one in asked):
        raise UsageError(f"name a grid with --{_GRID[0]} or --{_GRID[-1]}, or --{_EMBODIED}")

    from energybench.energy.grid import grid_of
    from energybench.records.saved import read_runs
    from energybench.report.emissions import emission_lines

    path = output_path(options.output, JSON, [Path(options.run_name)])
    (run, *others) = read_runs([options.run_name])
    if others or run.path.suffix.lower() not in JSON:
        raise UsageError(f"{options.run_name} is no JSON of one run; make one with export -o")
    data = json.loads(run.path.read_text(encoding="utf-8"))
    changed = _with_emissions(data, measure, grid_of(measure))
    write_text(path, json.dumps(data, indent=1) + "\n")
    for line in emission_lines(changed):
        print(printable(line))
    print(printable(f"wrote {len(changed)} cells to {path}"), file=sys.stderr)


def _with_emissions(
    data: dict[str, Any], measure: "MeasureConfig", grid: "Grid | None"
) -> "list[RunRecord]":
    """Change the records in `data`, which read well before, and return them."""
    found = []
    for benchmark in data["benchmarks"]:
        extra = benchmark.get("extra_info", {})
        if "energybench" in extra:
            record = _changed(extra["energybench"], measure, grid)
            extra["energybench"] = record.to_json()
            headline = flat_keys(record)
            extra.update({key: headline[key] for key in _KEYS if key in headline})
            found.append(record)
    beside = data.get("energybench", {}).get("records", [])
    for place, one in enumerate(beside):
        record = _changed(one, measure, grid)
        beside[place] = record.to_json()
        found.append(record)
    return found


def _changed(data: Any, measure: "MeasureConfig", grid: "Grid | None") -> "RunRecord":
    from dataclasses import replace

    from energybench.records.emissions import with_grid
    from energybench.records.record import from_json

    record = from_json(data)
    if grid is not None:
        record = with_grid(record, grid)
    if measure.embodied_g_per_hour is not None:
        record = replace(record, embodied_g_per_hour=measure.embodied_g_per_hour)
    return record
