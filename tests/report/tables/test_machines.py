"""What each method saved on each machine."""

from pathlib import Path
from typing import Any

from support.contributions import complete, own, save_contribution
from support.saved_runs import cell, save

from energybench.records.record import Dataset
from energybench.records.saved import read_runs
from energybench.report.page import markdown, page
from energybench.report.sections import sections
from energybench.report.tables.machines import machine_table
from energybench.report.tables.matrix_rows import Table

OTHER: dict[str, Any] = {"device_name": "a GPU", "machine": {"cpu": "b", "logical_cores": 4}}


def table(*paths: str) -> Table | None:
    return machine_table(sections(read_runs(paths)))


def test_a_row_per_model_and_machine_and_a_column_per_method(tmp_path: Path) -> None:
    first = save(tmp_path / "a.json", [cell(), cell("prune", joules=600.0), cell("stego")])
    beyond = cell("prune", joules=1200.0, correct=90, **OTHER)
    vgg = [cell(model="vgg16", **OTHER), cell("stego", joules=500.0, model="vgg16", **OTHER)]
    second = save(tmp_path / "b.json", [cell(**OTHER), beyond, *vgg])
    found = table(first, second)
    assert found is not None
    assert found.headers == ("model", "machine", "energy read by", "seeds", "stego", "prune")
    assert found.rows == (
        ("resnet18, digits", "a processor", "rapl", "1", "+0.0 %", "+40.0 %"),
        ("resnet18, digits", "a GPU", "rapl", "1", "-", "-20.0 % ✗"),
        ("vgg16, digits", "a GPU", "rapl", "1", "+50.0 %", "-"),
    )


def test_unlike_settings_are_told_apart(tmp_path: Path) -> None:
    first = save(tmp_path / "a.json", [cell(), cell("prune", joules=600.0)])
    large = OTHER | {"batch_size": 128}
    more = {"dataset": Dataset("photos", "p"), **OTHER}
    cells = [cell(**large), cell("prune", joules=500.0, **large), cell(**more)]
    second = save(tmp_path / "b.json", [*cells, cell("prune", joules=300.0, **more)])
    found = table(first, second)
    assert found is not None
    assert [row[:2] for row in found.rows] == [
        ("resnet18, digits (batch_size=64)", "a processor"),
        ("resnet18, digits (batch_size=128)", "a GPU"),
        ("resnet18, photos", "a GPU"),
    ]


def test_one_machine_has_no_table_until_it_is_contributed(tmp_path: Path) -> None:
    assert table(save(tmp_path / "a.json", [cell(), cell("prune", joules=600.0)])) is None
    found = table(save_contribution(tmp_path / "ada.json", complete()))
    assert found is not None
    assert found.headers[1:5] == ("machine", "by", "energy read by", "seeds")
    ((_, machine, by, source, seeds, prune),) = found.rows
    assert (machine, by, source, seeds) == ("a processor", "Ada Lovelace", "rapl", "5")
    assert prune.startswith("+39.8 % [")


def test_the_report_has_the_table_and_escapes_who_contributed(tmp_path: Path) -> None:
    evil = "Ada | [x](y) *b* & Co"
    runs = read_runs([save_contribution(tmp_path / "ada.json", complete(), evil)])
    text = markdown(runs)
    assert "## Machines by methods" in text
    assert "Ada \\| [x]\\(y) \\*b\\* & Co" in text
    html = page(runs)
    assert '<section id="machines">' in html
    assert '<a href="#machines">Machines by methods</a>' in html
    assert "*b* &amp; Co" in html


def test_cells_without_a_saving_make_no_row(tmp_path: Path) -> None:
    first = save(tmp_path / "a.json", [cell(), cell("prune", joules=None)])
    second = save(tmp_path / "b.json", [own("prune", 0, 600.0, **OTHER)])
    assert table(first, second) is None
