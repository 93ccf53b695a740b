"""The figure, read back as SVG, and the table."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from energybench.compression.capacity import Capacity
from energybench.errors import UsageError
from energybench.report.figures.capacities import save_capacities
from energybench.report.tables.capacity_bits import capacity_table

SVG = "{http://www.w3.org/2000/svg}"


def found(bits: int = 19, **changes: Any) -> Capacity:
    curve = tuple((n, 0.99 if n <= bits else 0.4) for n in changes.pop("counts", range(32)))
    return Capacity(
        **{
            "bits": bits,
            "curve": curve,
            "weights": 11_000_000,
            "monotone": True,
            "evaluations": len(curve),
            "reference": 0.99,
            "tolerance": 1.0,
            "fill": "zeros",
            "rounding": "truncate",
            **changes,
        }
    )


def texts(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


def layers(count: int) -> dict[str, Capacity]:
    return {f"block{n}.conv.weight": found(17 + n % 8) for n in range(count)}


def test_the_figure_says_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "capacity.svg"
    save_capacities({"resnet18": found(19), "nearest": found(21, rounding="nearest")}, path)
    written = texts(path)
    assert "resnet18: 19 bits, 26.1 MB" in written
    assert "nearest: 21 bits, 28.9 MB" in written
    assert "tolerance, 1 pp" in written
    assert "validation accuracy, %" in written


def drawn(path: Path, number: int) -> int:
    """Points of the `number`-th curve."""
    lines = re.findall(r'<path d="([^"]*)" clip-path[^>]*fill: none; stroke: #', path.read_text())
    curves: list[int] = [line.count("L") + line.count("M") for line in lines]
    return [points for points in curves if points > 2][number]


def test_every_point_evaluated_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "capacity.svg"
    bisected = found(19, counts=[0, 16, 18, 19, 20, 24])
    save_capacities({"sweep": found(19), "bisect": bisected}, path)
    assert (drawn(path, 0), drawn(path, 1)) == (32, 6)


def test_png_has_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "capacity.PNG"
    save_capacities({"resnet18": found()}, path)
    with Image.open(path) as image:
        assert image.size == (1050, 660)
        colours = {colour for _, colour in image.convert("RGB").getcolors(100_000) or []}
    assert {(255, 255, 255), (0x00, 0x72, 0xB2)} <= colours


def test_the_same_numbers_give_the_same_file(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.svg", "two.svg")]
    for path in paths:
        save_capacities({"resnet18": found()}, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_per_layer_names_the_layers_while_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "layers.svg"
    few, many = found(17, layers=layers(20)), found(18, layers=layers(105))
    save_capacities({"resnet18": few, "resnet101": many}, path, per_layer=True)
    written = texts(path)
    assert {"block0.conv", "block19.conv", "layer, from input to output"} <= set(written)
    assert "block20.conv" not in written
    assert "resnet18: 17 bits in all layers at once (dashed)" in written
    assert "resnet101: 18 bits in all layers at once (dashed)" in written


@pytest.mark.parametrize("name", ["capacity.pdf", "capacity", "capacity.svgz"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\A[^\n]*neither \.svg nor \.png[^\n]*\Z"):
        save_capacities({"resnet18": found()}, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no capacity to draw"):
        save_capacities({}, tmp_path / "capacity.svg")
    with pytest.raises(UsageError, match="no capacity to show"):
        capacity_table({})
    with pytest.raises(UsageError, match="resnet18 has no capacity per layer"):
        save_capacities({"resnet18": found()}, tmp_path / "layers.svg", per_layer=True)


def test_the_table_has_every_bit_count_and_a_summary() -> None:
    curves = {
        "truncate": found(19),
        "nearest": found(21, rounding="nearest", counts=[0, 16, 20, 21, 22, 24], monotone=False),
        "random": found(20, fill="random"),
    }
    by_bits, summary = capacity_table(curves, "tsv").split("\n\n")
    rows = [[cell.strip() for cell in line.split("\t")] for line in by_bits.splitlines()]
    assert rows[0] == ["bits", "truncate", "nearest", "random"]
    assert [row[0] for row in rows[1:]] == [str(bits) for bits in range(32)]
    assert rows[1 + 20] == ["20", "40.00 %", "99.00 %", "99.00 %"]
    assert rows[1 + 19] == ["19", "99.00 %", "-", "99.00 %"]
    found_rows = [[cell.strip() for cell in line.split("\t")] for line in summary.splitlines()]
    assert found_rows[1:] == [
        ["truncate", "zeros", "truncate", "19", "26.1 MB", "59.4 %", "99.00 %", "32", "yes"],
        ["nearest", "zeros", "nearest", "21", "28.9 MB", "65.6 %", "99.00 %", "6", "no"],
        ["random", "random", "-", "20", "27.5 MB", "62.5 %", "99.00 %", "32", "yes"],
    ]


def test_a_capacity_has_its_interval_in_table_and_figure(tmp_path: Path) -> None:
    curves = {"resnet18": found(17, interval=(16.0, 18.0))}
    assert " 17 [16, 18] " in capacity_table(curves)
    save_capacities(curves, tmp_path / "bits.svg")
    assert any("17 [16, 18] bits, " in text for text in texts(tmp_path / "bits.svg"))


def test_the_table_has_the_bits_of_each_layer_where_they_are_known() -> None:
    some = dict(list(layers(3).items())[1:])
    curves = {"cleared": found(19, layers=layers(3)), "random": found(20, layers=some)}
    _, _, by_layer = capacity_table(curves, "tsv").split("\n\n")
    rows = [[cell.strip() for cell in line.split("\t")] for line in by_layer.splitlines()]
    assert rows == [
        ["layer alone", "weights", "cleared, bits", "random, bits"],
        ["block0.conv", "11,000,000", "17", "-"],
        ["block1.conv", "11,000,000", "18", "18"],
        ["block2.conv", "11,000,000", "19", "19"],
    ]


def test_matplotlib_is_imported_only_for_a_figure_and_pyplot_never(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from energybench.report.figures.capacities import Capacity, save_capacities\n"
        "libraries = {'matplotlib', 'matplotlib.pyplot', 'tabulate'}\n"
        "print(libraries & set(sys.modules))\n"
        "found = Capacity(1, ((0, 1.0), (1, 1.0)), 8, True, 2, 1.0, 1.0, 'zeros', 'truncate')\n"
        f"save_capacities({{'one': found}}, pathlib.Path({str(tmp_path / 'one.png')!r}))\n"
        "print(libraries & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "{'matplotlib'}"]


def test_settings_of_matplotlib_are_as_before(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    save_capacities({"resnet18": found()}, tmp_path / "capacity.png")
    assert dict(mpl.rcParams) == before
