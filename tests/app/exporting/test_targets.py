"""Targets by name, and targets that fail."""

from pathlib import Path

import pytest
from support.saved_runs import cell

from energybench.app.exporting.measurements import of_record
from energybench.app.exporting.targets import Exports, check_target
from energybench.errors import UsageError


@pytest.mark.parametrize("name", ["otlp", "prometheus:cells.prom", "prometheus:/a:b/c.prom"])
def test_a_target_has_a_kind_and_a_place(name: str) -> None:
    assert check_target(name) == name


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("graphite", "unknown target 'graphite'; use prometheus:FILE.prom or otlp"),
        ("prometheus", "unknown target"),
        ("prometheus:cells.txt", "files that end in .prom, not 'cells.txt'"),
        ("otlp:http://localhost:4318", "takes its endpoint from OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_a_wrong_target_is_one_line(wrong: str, says: str) -> None:
    with pytest.raises(UsageError) as found:
        check_target(wrong)
    assert says in str(found.value)


def test_a_target_that_fails_is_one_line_and_the_others_go_on(tmp_path: Path) -> None:
    lines: list[str] = []
    lost, kept = tmp_path / "lost" / "a.prom", tmp_path / "b.prom"
    exports = Exports([f"prometheus:{lost}", f"prometheus:{kept}"], lines.append)
    for seed in range(3):
        exports.add(of_record(cell(seed=seed)))
    exports.close()
    (line,) = lines
    assert line.startswith(f"energybench: --energy-export=prometheus:{lost}: cannot write")
    assert kept.read_text().count("energybench_cell_ok{") == 3
    lost.parent.mkdir()
    exports.add(of_record(cell(seed=3)))
    assert lost.read_text().count("energybench_cell_ok{") == 4
    lost.unlink()
    lost.mkdir()
    exports.add(of_record(cell(seed=4)))
    assert len(lines) == 2, "it had recovered, so that the next failure is news"


def test_a_target_that_is_named_twice_is_opened_once(tmp_path: Path) -> None:
    lines: list[str] = []
    name = f"prometheus:{tmp_path / 'none' / 'a.prom'}"
    Exports([name, name], lines.append).add(of_record(cell()))
    assert len(lines) == 1
