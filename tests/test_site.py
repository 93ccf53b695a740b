"""The site has every page, every public name and every figure, and shows them as GitHub does.

What needs MkDocs runs where it is installed; `tox run -e site` builds the whole site.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from support.loading import load_file

import energybench
from energybench.app.cli import main

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
COMMAND = re.compile(r"^energybench (plot (\w+) (\S+)) -o (docs/figures/\S+)$", re.MULTILINE)


def settings() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return found


def pages_of(nav: Any) -> list[str]:
    """The files that a part of the navigation leads to."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages_of(part)]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = pages_of(settings()["nav"])
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_site_asks_no_other_server() -> None:
    found = settings()
    assert found["theme"]["font"] is False
    assert not found.get("extra_javascript")
    assert "analytics" not in found["extra"]
    theme = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "site").rglob("*.html"))
    assert "data-md-component" not in theme  # GitHub's numbers of stars


def test_every_public_name_is_documented_once() -> None:
    named = re.findall(r"^<!-- api: (\w+) -->$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(set(energybench.__all__) - {"__version__"})


def texts(svg: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text(encoding="utf-8"))


FIGURES = COMMAND.findall((DOCS / "gallery.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("command", "name", "run", "file"), FIGURES, ids=lambda text: text[:60])
def test_a_figure_of_the_gallery_is_what_its_command_draws(
    command: str, name: str, run: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    drawn = tmp_path / f"{name}.svg"
    assert main([*command.split(), "-o", str(drawn)]) == 0
    assert texts(drawn) == texts(ROOT / file), f"run: energybench {command} -o {file}"
    assert texts(drawn)


def test_every_figure_of_the_gallery_has_its_command() -> None:
    shown = re.findall(r"!\[.*?\]\((figures/\S+)\)", (DOCS / "gallery.md").read_text("utf-8"))
    assert [f"docs/{path}" for path in shown] == [file for *_, file in FIGURES]
    kept = {f"docs/figures/{path.name}" for path in (DOCS / "figures").iterdir()}
    assert kept == {file for *_, file in FIGURES}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    for library in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(library, reason="pip install 'energybench[site]'")
    return load_file(DOCS / "site" / "hooks.py")


@pytest.fixture
def shown(hooks: ModuleType) -> Any:
    """What the site makes of the Markdown of `docs/page.md`."""
    from mkdocs.config import load_config
    from mkdocs.structure.files import File, Files
    from mkdocs.structure.pages import Page

    config = load_config(str(ROOT / "mkdocs.yml"))
    files = Files([])
    page = Page(None, File("page.md", str(DOCS), "site", False), config)

    def show(markdown: str) -> str:
        text: str = hooks.on_page_markdown(markdown, page, config, files)
        return text

    show.files = files  # type: ignore[attr-defined]
    return show


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[a](guide.md#methods)", "[a](guide.md#methods)"),
        ("[a](#here)", "[a](#here)"),
        ("[a](https://b.org/c)", "[a](https://b.org/c)"),
        (
            "[a](../README.md#two-commands)",
            "[a](https://github.com/energybench/energybench/blob/main/README.md#two-commands)",
        ),
        ("[a](../results/)", "[a](https://github.com/energybench/energybench/tree/main/results)"),
        ("```\n[a](../README.md)\n```\n", "```\n[a](../README.md)\n```\n"),
    ],
)
def test_a_link_leads_somewhere_on_the_site_too(shown: Any, written: str, expected: str) -> None:
    assert shown(written) == expected


def test_a_picture_outside_of_the_pages_comes_along(shown: Any) -> None:
    found = shown("![It](../results/saving.svg)")
    assert found == "![It](results/saving.svg)"
    (copied,) = shown.files
    assert "<svg" in copied.content_string


def test_a_link_to_nothing_is_a_warning(shown: Any, caplog: pytest.LogCaptureFixture) -> None:
    shown("[a](../nowhere.md)")
    assert "page.md links to nowhere.md, which does not exist" in caplog.text


def test_a_formula_becomes_mathml(shown: Any) -> None:
    found = shown("Before\n\n```math\n\\frac{a}{b}\n```\n")
    assert found.startswith('Before\n\n<div class="formula"><math ')
    assert "<mfrac>" in found
    assert found.count("\n") == 3, "one line of HTML, so that Markdown leaves it alone"


def test_a_run_that_cannot_be_read_is_a_warning(
    hooks: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mkdocs.structure.files import Files

    monkeypatch.setattr(hooks, "RUNS", {"results/nothing.json": "nothing"})
    assert len(hooks.on_files(Files([]), None)) == 0
    assert "no report of results/nothing.json" in caplog.text
