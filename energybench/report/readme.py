"""The results in a page such as README.md, written from records between two comments.

`<!-- results of FILE -->` stands before a summary of the run in FILE, `<!-- findings of FILE -->`
before the sentences on a study, `<!-- report of FILE -->` before the whole report, and
`<!-- end of results -->` after each. FILE is the name by which the run is read.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import fmean

from energybench.energy.units import format_kwh
from energybench.errors import UsageError
from energybench.records.saved import Run
from energybench.registry import BASELINE
from energybench.report.facts import facts
from energybench.report.figures import FIGURES
from energybench.report.findings import finding
from energybench.report.headline import headline, reservations
from energybench.report.page import judged_claims, markdown, open_questions
from energybench.report.paper import CANNOT, NOT, REPRODUCED, UNDECIDED
from energybench.report.quoting import markdown_text
from energybench.report.rows import RowKey
from energybench.report.scores import score_column
from energybench.report.sections import Section, sections
from energybench.report.stats import mean_of_all
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import BEYOND, BEYOND_LEGEND, number

END = "<!-- end of results -->"
_BLOCK = re.compile(
    rf"<!-- (results|findings|report) of (\S+) -->\n(.*?){re.escape(END)}", re.DOTALL
)
_SHOWN = ("GPU", "CPU and memory", "software", "energy read by")


def fill(page: str, runs: Mapping[str, Run]) -> str:
    """Return `page` with every block of a FILE in `runs` written anew; other blocks stay.

    Raises `UsageError` for a run without a block.
    """
    filled: set[str] = set()

    def block(found: re.Match[str]) -> str:
        kind, name = found[1], found[2]
        if name not in runs:
            return found[0]
        filled.add(name)
        return f"<!-- {kind} of {name} -->\n{_WRITERS[kind](runs[name])}\n{END}"

    text = _BLOCK.sub(block, page)
    for name in runs:
        if name not in filled:
            raise UsageError(
                f"no block of {name}; write <!-- results of {name} --> and {END} into the page"
            )
    return text


def summary(run: Run) -> str:
    """Return sentences, a table of models by methods, the verdicts and the origin, in Markdown."""
    found = sections([run])
    parts = []
    for section in found:
        parts += [markdown_text(headline(section))]
        if section.rows:
            parts += [_by_model(section).markdown(), _LEGEND]
        parts += [_origin(section)]
    questions = [markdown_text(one.text) for one in open_questions(found)]
    return "\n\n".join([*parts, _verdicts(found), *questions])


_LEGEND = (
    "Baseline: energy, epochs and the test's result. Methods: energy saved against it, epochs, and "
    f"the drop; {BEYOND_LEGEND}"
)


def _by_model(section: Section) -> Table:
    """Return a table with a row per model and a column per method, of each the first setting."""
    methods = [BASELINE, *section.methods]
    first: dict[tuple[str, str], RowKey] = {}
    for key in section.rows:
        first.setdefault((key.model, key.method), key)
    rows = [
        (model, *(_cell(section, first.get((model, method))) for method in methods))
        for model in section.models
    ]
    return Table(("model", *methods), tuple(rows), frozenset())


def _cell(section: Section, key: RowKey | None) -> str:
    if key is None:
        return "-"
    records = list(section.rows[key].values())
    energy = format_kwh(mean_of_all([record.kwh for record in records]))
    epochs = number(fmean(len(record.epochs) for record in records))
    saving = section.savings.get(key)
    score = score_column(section.finished)
    metric = records[0].metric
    if saving is None:
        value = score.value(metric, mean_of_all([one.value for one in records]))
        return f"{energy}, {epochs} epochs, {value}"
    drop = score.drop(metric, saving.drop.value if saving.drop else None)
    return f"{saving.text}, {epochs} epochs, {drop}{f' {BEYOND}' if saving.beyond else ''}"


def _origin(section: Section) -> str:
    """Return the seeds, the commit and the machine as a list."""
    known = dict(facts(section))
    if not section.finished:
        known["CPU and memory"] = section.machine
    when = f", {section.measured_on}" if section.measured_on else ""
    lines = [f"commit {section.commit or 'not known'}{when}{_seeds(section)}"]
    lines += [f"{name}: {known[name]}" for name in _SHOWN if known.get(name)]
    return "\n".join(f"- {markdown_text(line)}" for line in lines)


def _seeds(section: Section) -> str:
    """Return "; seeds: 5", or each model's number where they differ; "" without a finished cell."""
    seeds: dict[str, set[int]] = {}
    for record in section.finished:
        seeds.setdefault(record.model, set()).add(record.seed)
    counts = {model: len(found) for model, found in seeds.items()}
    if len(set(counts.values())) > 1:
        return "; seeds: " + ", ".join(f"{model} {count}" for model, count in counts.items())
    return f"; seeds: {next(iter(counts.values()))}" if counts else ""


def _verdicts(found: list[Section]) -> str:
    """Return how many of the paper's claims have which verdict."""
    _, judged = judged_claims(found)
    counts = Counter(one.verdict for one in judged)
    told = ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in (REPRODUCED, NOT, UNDECIDED, CANNOT)
    )
    return f"Of the paper's {len(judged)} claims: {told}."


def _findings(run: Run) -> str:
    """Return the sentences on each figure that has any, what limits them, and the origin."""
    parts: list[str] = []
    for section in sections([run]):
        found = [text for name in FIGURES if (text := finding(name, section))]
        parts += map(markdown_text, [*found, " ".join(reservations(section))])
        parts.append(_origin(section))
    return "\n\n".join(part for part in parts if part)


def _report(run: Run) -> str:
    """Return the whole report, with headings one level further down, after its origin."""
    origins = [_origin(section) for section in sections([run])]
    text = re.sub(r"^(#+) ", r"#\1 ", markdown([run]), flags=re.MULTILINE).rstrip()
    return "\n\n".join([*origins, text])


_WRITERS: dict[str, Callable[[Run], str]] = {
    "results": summary,
    "findings": _findings,
    "report": _report,
}
