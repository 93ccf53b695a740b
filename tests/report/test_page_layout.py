"""How the page is laid out: groups, marks, contents, widths."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

from support.saved_runs import cell, regression, save

from energybench.records.record import RunRecord
from energybench.records.saved import Run, read_runs
from energybench.report.page import markdown, page
from energybench.report.style import PHONE_WIDTH

PHONE_PX, DESK_PX = 390 - 2 * 16, 832 - 2 * 16
"""A phone's width, and the least of a desktop's, without the page's margins."""


class Tables(HTMLParser):
    """The rows of every table: the class of a row, and the texts of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[tuple[str, list[str]]]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append((dict(attrs).get("class") or "", []))
        elif tag in ("td", "th"):
            self.tables[-1][-1][1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][1][-1] += data


def made(tmp_path: Path, *records: RunRecord) -> str:
    return page(read_runs([save(tmp_path / "run.json", records)]))


def results(text: str) -> list[tuple[str, list[str]]]:
    return Tables(text).tables[0]


def test_the_rows_of_a_model_stand_below_its_name(matrix_page: str) -> None:
    rows = results(matrix_page)
    models = [texts for kind, texts in rows if kind == "group"]
    assert len(models) == 9
    assert all(len(texts) == 1 for texts in models)
    methods = [texts[0] for kind, texts in rows[1:] if kind in ("", "noted")]
    assert methods == ["baseline", "stego", "prune", "lowrank"] * 9


def test_a_drop_beyond_the_tolerance_is_marked_in_its_row(
    matrix: list[Run], matrix_page: str
) -> None:
    rows = [texts for _, texts in results(matrix_page)]
    place = rows[0].index("drop")
    marked = [texts[place] for texts in rows if len(texts) > place and "✗" in texts[place]]
    records = [record for run in matrix for record in run.records]
    assert len(marked) == sum(record.within_tolerance is False for record in records) == 10
    assert "+4.00 pp✗" in marked
    assert "✗ marks a drop beyond the tolerance." in matrix_page


def test_the_mark_is_explained_only_where_it_occurs(tmp_path: Path) -> None:
    assert "✗" not in made(tmp_path, cell(), cell("prune"))
    far = [regression(), regression("prune", rmse=0.9)]
    assert made(tmp_path, *far).count("✗ marks a drop beyond the tolerance.") == 1
    tables = markdown(read_runs([save(tmp_path / "run.json", far)]))
    assert tables.count("✗ marks a drop beyond the tolerance.") == 1
    assert "✗" not in markdown(read_runs([save(tmp_path / "run.json", [cell(), cell("prune")])]))


def test_a_note_has_a_line_of_its_own_below_its_row(matrix_page: str) -> None:
    rows = results(matrix_page)
    assert "note" not in rows[0][1]
    for (kind, _), (after, texts) in pairwise(rows):
        assert (kind == "noted") == (after == "note")
        if after == "note":
            assert len(texts) == 1
    assert ("note", ["1.8 x the baseline's epochs; drop beyond tolerance"]) in rows


def test_a_column_that_no_cell_has_is_left_out(matrix_page: str, tmp_path: Path) -> None:
    assert "CPU time" not in results(matrix_page)[0][1]
    estimated = made(tmp_path, cell(source="codecarbon_estimate"), cell("prune"))
    assert "CPU time" not in results(estimated)[0][1]


def test_the_contents_lead_to_every_part(matrix_page: str) -> None:
    nav = matrix_page[matrix_page.index("<nav") : matrix_page.index("</nav>")]
    links = dict(re.findall(r'<a href="#([^"]+)">([^<]+)</a>', nav))
    ids = set(re.findall(r'\bid="([^"]+)"', matrix_page))
    assert set(links) <= ids
    body = matrix_page[matrix_page.index("</nav>") :]
    assert set(re.findall(r"<h[23]>([^<]+)</h[23]>", body)) == set(links.values())


def test_every_figure_is_drawn_for_a_phone_with_labels_that_can_be_read(matrix_page: str) -> None:
    desk, phone = (
        re.findall(rf'<div class="{kind}">(<svg.*?</svg>)', matrix_page, re.DOTALL)
        for kind in ("desk", "phone")
    )
    assert len(desk) == len(phone) == 5
    for wide, narrow in zip(desk, phone, strict=True):
        assert _width(narrow) <= 72 * PHONE_WIDTH
        assert _smallest_label(narrow) * PHONE_PX / _width(narrow) > 11
        assert _smallest_label(wide) * DESK_PX / _width(wide) > 9


def _width(svg: str) -> float:
    found = re.search(r'viewBox="0 0 ([0-9.]+) ', svg)
    assert found is not None
    return float(found[1])


def _smallest_label(svg: str) -> float:
    return min(float(one) for one in re.findall(r"font(?:-size)?: (?:\d+ )?([0-9.]+)px", svg))


def test_tables_of_numbers_say_that_they_scroll_and_those_of_words_need_not(
    matrix_page: str,
) -> None:
    blocks = re.findall(
        r'<div class="table(| words)(?:| marked)">(.*?)<table', matrix_page, re.DOTALL
    )
    assert {kind for kind, _ in blocks} == {"", " words"}
    for kind, head in blocks:
        assert ('class="hint"' in head) == (kind == "")
        assert ('tabindex="0"' in head) == (kind == "")
    assert 'data-head="because"' in matrix_page  # says what a cell is where no head is above it
