import re
from collections import Counter
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.saved_runs import cell, failed, save

from energybench.energy.readings import CpuUse, EnergyReading, PowerTrace
from energybench.records.attempt import Attempt
from energybench.records.record import (
    CompressionReport,
    Dataset,
    EpochRecord,
    Evaluation,
    RunRecord,
    Start,
    Target,
    Weights,
)
from energybench.records.saved import Run, read_runs
from energybench.report.figures import FIGURES
from energybench.report.page import markdown, page

LITTLE = Evaluation(0.1, 0.97)
STOLEN = EnergyReading(10.0, {"cpu:0": 1.0}, {"cpu:0": "rapl"}, cpu=CpuUse(10.0, 10.0, 0.5, 20.0))
EVIL = "<script>alert(1)</script>&\"'$x$"


def made(tmp_path: Path, *runs: list[RunRecord]) -> str:
    paths = [save(tmp_path / f"run{number}.json", records) for number, records in enumerate(runs)]
    return page(read_runs(paths))


class Reader(HTMLParser):
    """Every tag and attribute of a page, and that tags are closed in order."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_the_page_of_the_matrix_stands_alone(matrix_page: str) -> None:
    text = matrix_page
    found = Reader(text)
    assert found.tags["script"] == 0
    assert found.tags["svg"] == 10
    assert found.tags["link"] == found.tags["img"] == found.tags["iframe"] == 0
    addresses = [value for name, value in found.attributes if name in ("href", "src", "xlink:href")]
    assert [one for one in addresses if not one.startswith("#")] == [
        "https://arxiv.org/abs/2506.01311"
    ]
    assert "url(http" not in text
    assert "@import" not in text
    ids = Counter(value for name, value in found.attributes if name == "id")
    assert max(ids.values()) == 1
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | {
        one[1:] for one in addresses if one[0] == "#"
    }
    assert used <= set(ids)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_the_same_run_makes_the_same_page(matrix: list[Run], matrix_page: str) -> None:
    assert page(matrix) == matrix_page


def test_names_with_markup_in_them_are_text(tmp_path: Path) -> None:
    odd = {
        "model": EVIL,
        "machine": {"cpu": EVIL, "gpus": [{"name": EVIL}]},
        "source": "rapl",
        "weights": Weights(EVIL),
        "dataset": Dataset(EVIL, "f00", item=EVIL, details={EVIL: EVIL}),
    }
    records = [cell(**odd), cell("prune", joules=500.0, **odd), failed("stego", error=EVIL)]  # type: ignore[arg-type]
    records.append(cell("a+" + EVIL, joules=700.0, **odd))  # type: ignore[arg-type]
    text = made(tmp_path, records)
    assert Reader(text).tags["script"] == 0
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text


def test_every_figure_has_a_name_for_those_who_cannot_see_it(matrix_page: str) -> None:
    for svg in re.findall(r"<svg[^>]*>", matrix_page):
        assert 'role="img"' in svg
        assert re.search(r'aria-label="[^"]{20,}"', svg)
        assert " width=" not in svg  # as wide as its column


def test_the_text_of_figures_takes_the_colour_and_font_of_the_page(matrix_page: str) -> None:
    assert "currentColor" in matrix_page
    assert "#123457" not in matrix_page
    assert re.search(r"<text[^>]*>[^<]*resnet18[^<]*</text>", matrix_page)
    texts = re.findall(r"<text([^>]*)>", matrix_page)
    assert texts
    assert all("system-ui, 'DejaVu Sans'" in one for one in texts)


def test_figures_are_there_where_there_is_something_to_draw(tmp_path: Path) -> None:
    def drawn(*records: RunRecord) -> set[str]:
        text = made(tmp_path, list(records))
        return {
            name
            for name, kind in FIGURES.items()
            if f"<h3>{escape(kind.named().title).replace('&#x27;', '&#39;')}</h3>" in text
        }

    assert drawn(cell()) == set()
    simple = drawn(cell(), cell("prune", joules=900.0))
    assert simple == {"saving", "pareto", "factors"}
    stego = CompressionReport("stego", {"bits": 18}, 0.5, 0.9, 0.9, [(16.0, 0.9), (20.0, 0.5)])
    assert drawn(cell(), cell("stego", compression=stego)) == simple | {"capacity"}
    loose = cell("prune", joules=800.0, tolerance=5.0)
    assert drawn(cell(), cell("prune"), loose) == simple | {"tolerance"}
    assert drawn(cell(), cell("prune"), cell("prune+stego")) == simple | {"compositions"}
    assert drawn(cell(), cell("prune", budget="equal")) == simple | {"budget"}
    controls = drawn(cell(), cell("stego"), cell("stego-fp32"), cell("baseline-bf16"))
    assert controls == simple | {"controls"}
    assert drawn(cell(), cell("prune"), cell("prune-once")) == simple | {"controls"}
    once = drawn(cell(), cell("stego-once@20"), cell("stego-fp32@20"), cell("prune"))
    assert once == simple | {"controls"}
    trace = PowerTrace(1.0, [1.0, 2.0], {"cpu:0": [10.0, None], "gpu:0": [1.0, 2.0]}, {})
    assert drawn(cell(changes={"trace": trace})) == {"power"}
    epoch = EpochRecord(1, 0.5, 0.4, 0.9, 7, 448, 1.0, 25.0, 448.0, None)
    assert drawn(cell(changes={"epochs": [epoch]})) == {"epochs"}
    reached = {"epochs": [epoch], "target": Target(0.89, 1, 25.0)}
    before = Start(Evaluation(3.0, 0.2), Evaluation(3.0, 0.1))
    assert drawn(cell(changes=reached)) == {"epochs", "target"}
    assert drawn(cell(changes={**reached, "start": before})) == {"epochs", "target"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "codecarbon_estimate"}, "estimated: the energy is a formula"),
        ({"joules": None}, "no energy: a meter gave no reading"),
        ({"changes": {"flags": ["short_window"]}}, "short window: "),
        ({"changes": {"flags": ["throttled"]}}, "throttled: "),
        ({"changes": {"flags": ["contaminated"]}}, "contaminated: "),
        ({"changes": {"flags": ["uneven"]}}, "uneven: "),
        ({"changes": {"attempts": [Attempt(["uneven"], None, 4)]}}, "run again: "),
        ({"changes": {"phases": {"finetune": STOLEN}}}, "steal: "),
        ({"changes": {"flags": ["data_bound"]}}, "data bound: "),
        ({"correct": 90}, "beyond tolerance: "),
        ({"epochs": 50}, "capped: the cap on epochs ended"),
        (
            {"changes": {"start": Start(LITTLE, LITTLE, Evaluation(0.1, 0.99))}},
            "worse than before: fine-tuning ended worse on the test split than it began",
        ),
        ({"changes": {"reference_source": "cache"}}, "cached baseline: "),
        ({"weights": Weights("x", head_replaced=True)}, "new head: "),
        (
            {"compression": CompressionReport("stego", {}, 0.0, None, None, no_effect=True)},
            "no effect: ",
        ),
        (
            {"compression": CompressionReport("a", {}, 0.0, None, None, notes=["not monotone"])},
            "compression: not monotone (resnet18 stego seed 0)",
        ),
    ],
)
def test_every_caveat_is_said(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    def said(stego: RunRecord) -> str:
        return markdown(read_runs([save(tmp_path / "run.json", [cell(), stego])]))

    assert says not in said(cell("stego"))
    text = said(cell("stego", **changes))  # type: ignore[arg-type]
    assert says in text
    assert "resnet18 stego seed 0" in text


def test_a_clean_run_has_no_caveat_and_a_doubtful_one_has_a_list(tmp_path: Path) -> None:
    assert "No caveat was recorded." in made(tmp_path, [cell(epochs=5), cell("stego")])
    text = made(tmp_path, [cell(), cell("stego", correct=90)])
    assert "<li>beyond tolerance: the accuracy dropped by more than allowed (resnet18 stego" in text


def test_failed_cells_and_the_machine_are_named(tmp_path: Path) -> None:
    text = made(tmp_path, [cell(), failed("stego")])
    assert "failed: resnet18 stego seed 0: the loss is not finite" in text
    assert "a processor, 2 cores, 8 GiB" in text
    assert "cpu:0: rapl" in text


def test_runs_stay_apart_and_stand_side_by_side(tmp_path: Path) -> None:
    first = [cell(joules=1000.0), cell("stego", joules=600.0)]
    second = [cell(joules=2000.0), cell("stego", joules=1900.0)]
    text = made(tmp_path, first, second)
    assert "On resnet18 stego took 40.0 % less energy." in text
    assert "On resnet18 stego took 5.0 % less energy." in text
    assert "The runs side by side" in text
    assert "2.000" in text
    assert "The runs side by side" not in made(tmp_path, first)


def test_two_machines_in_one_run_are_two_sections(tmp_path: Path) -> None:
    records = [cell(), cell("stego", joules=600.0)]
    records += [cell(joules=50.0, device="cuda", device_name="NVIDIA H100")]
    text = made(tmp_path, records)
    assert "<h2>run0, on a processor</h2>" in text
    assert "<h2>run0, on NVIDIA H100</h2>" in text


def test_only_cells_of_the_papers_protocol_are_held_against_it(tmp_path: Path) -> None:
    loose = [cell(model="vgg16"), cell("prune", model="vgg16", joules=300.0, tolerance=10.0)]
    assert "Judged here: nothing." in made(tmp_path, loose)
    strict = [cell(model="vgg16"), cell("prune", model="vgg16", joules=300.0)]
    assert "Judged here: run0." in made(tmp_path, strict)


def test_markdown_has_the_sentence_and_the_tables(matrix: list[Run]) -> None:
    text = markdown(matrix)
    assert "on 6 of 9 models" in text
    assert "| alexnet       | lowrank" in text
    assert "| the paper" in text
    assert "<" not in text
