"""The page as Chromium shows it on a desktop and on a phone; skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import screenshots

DESK, PHONE = screenshots.WIDTHS


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    try:
        with screenshots.browser() as found:
            yield found
    except screenshots.NoBrowser as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, matrix_page: str) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(matrix_page, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_nothing_is_too_wide_too_small_cut_or_upon_another(
    program: Any, page: Path, width: int
) -> None:
    with screenshots.opened(program, page, width) as tab:
        seen = screenshots.look(tab)
    assert seen.faults == []
    assert len(seen.smallest) == 5


def test_a_table_that_scrolls_says_so_and_no_other_does(program: Any, page: Path) -> None:
    said = """() => Object.fromEntries([...document.querySelectorAll(".table")].filter(
        one => one.querySelector(".hint")).map(one => {
      const inner = one.querySelector(".wide"), hint = getComputedStyle(one.querySelector(".hint"));
      return [inner.getAttribute("aria-label"), [inner.scrollWidth > inner.clientWidth,
        hint.display !== "none" && hint.visibility === "visible"]];
    }))"""
    with screenshots.opened(program, page, PHONE) as tab:
        tab.wait_for_timeout(100)
        on_a_phone = tab.evaluate(said)
    assert on_a_phone["Results"] == [True, True]
    assert on_a_phone["Savings under other watts"] == [False, False]
    assert all(scrolls == told for scrolls, told in on_a_phone.values())
    with screenshots.opened(program, page, DESK) as tab:
        assert set(map(tuple, tab.evaluate(said).values())) == {(False, False)}


def test_notes_are_read_in_whole_lines_on_a_phone(program: Any, page: Path) -> None:
    lines = """() => [...document.querySelectorAll("tr.note span")].map(one =>
      [one.getBoundingClientRect().width, one.getClientRects()[0].left,
       one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight)])"""
    with screenshots.opened(program, page, PHONE) as tab:
        found = tab.evaluate(lines)
    assert len(found) > 10
    for width, left, count in found:
        assert left >= 0
        assert left + width <= PHONE
        assert count <= 3


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_mark_stays_beside_its_drop(program: Any, page: Path, width: int) -> None:
    apart = """() => {
      const wide = document.querySelector(".wide"); wide.scrollLeft = 9999;
      return [...wide.querySelectorAll(".mark")].map(mark => mark.getBoundingClientRect().left
        - mark.previousElementSibling.getBoundingClientRect().right);
    }"""
    with screenshots.opened(program, page, width) as tab:
        found = tab.evaluate(apart)
    assert len(found) == 10
    assert all(-1 <= gap < 8 for gap in found)


def test_tables_and_figures_are_as_wide_as_the_text(program: Any, page: Path) -> None:
    widths = """() => [...document.querySelectorAll(".lead, .wide > table, .desk > svg")].map(
        one => Math.round(one.getBoundingClientRect().width))"""
    with screenshots.opened(program, page, DESK) as tab:
        found = tab.evaluate(widths)
    assert max(found) - min(found) <= 2


def test_without_a_browser_the_script_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "page.html").write_text("<p>a page</p>")
    assert screenshots.main([str(tmp_path / "page.html"), "-o", str(tmp_path / "shots")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("no screenshots: no ")
    assert said.count("\n") == 1
