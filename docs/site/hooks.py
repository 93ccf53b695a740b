"""What the site needs beyond the pages of `docs/`, which are also read on GitHub.

MkDocs calls the functions that begin with `on_`:

- A link that leaves `docs/` leads to the file on GitHub, and a picture outside comes along.
- A fenced block of the language `math` becomes MathML, which browsers show without a script.
- `<!-- api: NAME -->` becomes the documentation of `energybench.NAME`, out of its docstrings.
- The runs of `RUNS` become pages by the report's own code, and `<!-- reports -->` their list.

Whatever cannot be found is a warning, which ends a strict build.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from energybench.errors import EnergybenchError
from energybench.records.saved import read_runs
from energybench.report.page import page as report_page

ROOT = Path(__file__).resolve().parents[2]
RUNS = {
    "results/handwriting-cpu-2core.json": "three networks on handwriting, as a page",
}
"""Saved run -> what its report page is about."""

log = get_plugin_logger("energybench")
_FENCE = re.compile(r"^(```+).*?^\1$\n?", re.MULTILINE | re.DOTALL)
_MATH = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_API = re.compile(r"^<!-- api: (\w+) -->$", re.MULTILINE)
_REPORTS = "<!-- reports -->"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the report page of every run."""
    for run in RUNS:
        try:
            text = report_page(read_runs([str(ROOT / run)]))
        except EnergybenchError as error:
            log.warning(f"no report of {run}: {error}")
            continue
        files.append(File.generated(config, _report_of(run), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn what GitHub shows of a page into what the site shows."""
    place = PurePosixPath(page.file.src_uri)
    markdown = _API.sub(r"\n::: energybench.\1\n", markdown)
    markdown = markdown.replace(_REPORTS, _list_of_reports(place))
    markdown = _MATH.sub(lambda found: formula(found[1]), markdown)
    return outside_fences(markdown, lambda text: _LINK.sub(_linker(place, config, files), text))


def formula(latex: str) -> str:
    """Return MathML of a displayed formula, in one line of HTML."""
    return f'<div class="formula">{convert(" ".join(latex.split()), display="block")}</div>'


def outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """Return `markdown` with `change` applied to everything but its fenced blocks."""
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])


def _report_of(run: str) -> str:
    return f"report/{Path(run).stem}.html"


def _list_of_reports(page: PurePosixPath) -> str:
    up = "../" * (len(page.parts) - 1)
    return "\n".join(f"- [{about}]({up}{_report_of(run)})" for run, about in RUNS.items())


def _linker(
    page: PurePosixPath, config: MkDocsConfig, files: Files
) -> Callable[[re.Match[str]], str]:
    """Return a function from a link on `page` to what the site shows in its place."""

    def link(found: re.Match[str]) -> str:
        picture, text, target, anchor = found.groups(default="")
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = PurePosixPath(os.path.normpath(PurePosixPath("docs") / page.parent / target))
        if path.parts[0] == "docs":
            return found[0]
        if not (ROOT / path).exists():
            log.warning(f"{page} links to {path}, which does not exist")
            return found[0]
        if picture:
            if files.get_file_from_path(str(path)) is None:
                files.append(File(str(path), str(ROOT), config.site_dir, False))
            return f"![{text}]({'../' * (len(page.parts) - 1)}{path})"
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"[{text}]({config.repo_url}/{kind}/main/{path}{anchor})"

    return link
