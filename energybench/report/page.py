"""A report of saved runs: one HTML page without other files, or Markdown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from energybench.records.saved import Run
from energybench.report.caveats import caveats
from energybench.report.comparison import compare
from energybench.report.facts import facts
from energybench.report.figures import FIGURES
from energybench.report.findings import finding
from energybench.report.headline import headline
from energybench.report.open_question import TITLE, OpenQuestion, open_question
from energybench.report.paper import CANNOT, Judgement, as_in_the_paper, judgements, paper
from energybench.report.quoting import markdown_text
from energybench.report.sections import Section, sections
from energybench.report.style import PAGE_WIDTH, PHONE_WIDTH, inline_svg, look
from energybench.report.tables.answers import generation_tables, paid_back_tables
from energybench.report.tables.before_after import before_after_table
from energybench.report.tables.bits_or_arithmetic import arithmetic_table
from energybench.report.tables.compared import comparison_rows
from energybench.report.tables.emitted import emission_table
from energybench.report.tables.forecasts import outcome_table
from energybench.report.tables.laid_out import lay_out
from energybench.report.tables.machines import TITLE as MACHINES
from energybench.report.tables.machines import machine_table
from energybench.report.tables.matrix_rows import (
    Table,
    claim_table,
    result_table,
    why_table,
)
from energybench.report.tables.other_watts import estimate_tables
from energybench.report.tables.scripts import phase_table
from energybench.report.tables.studies import study_tables
from energybench.report.tables.tokens import token_table
from energybench.report.text import BEYOND, BEYOND_LEGEND


@dataclass(frozen=True)
class _Drawn:
    id: str
    title: str
    caption: str
    finding: str
    desk: str
    phone: str


def page(runs: Sequence[Run]) -> str:
    """Return the HTML page of `runs`, with a section for each run and machine.

    The page loads nothing from elsewhere and reads without scripts.
    """
    from jinja2 import Environment

    source = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True).from_string(source)
    found = sections(runs)
    judged, claims = judged_claims(found)
    comparison, notes = _side_by_side(runs)
    machines = machine_table(found)
    return template.render(
        sections=[_section(number, section) for number, section in enumerate(found)],
        comparison=None if comparison is None else lay_out(comparison),
        notes=notes,
        machines_title=MACHINES,
        machines=None if machines is None else lay_out(machines),
        machines_caption="" if machines is None else machines.caption,
        paper=paper(),
        judged=judged,
        claims=lay_out(claim_table(claims)),
        open_title=TITLE,
        questions=[(one.text, lay_out(_open_table(one))) for one in open_questions(found)],
        mark=BEYOND,
        legend=BEYOND_LEGEND,
    )


def markdown(runs: Sequence[Run]) -> str:
    """Return the sentences and tables of the page in Markdown."""
    found = sections(runs)
    parts = []
    for section in found:
        where = markdown_text(f"{section.label}, on {section.machine}")
        parts += [f"## {where}", markdown_text(headline(section))]
        if section.rows:
            table = result_table(section)
            parts += [table.markdown(), BEYOND_LEGEND if lay_out(table).marked else ""]
        for title, other in _tables(section):
            parts += [f"### {title}", other.markdown() if other.rows else ""]
            parts.append(markdown_text(other.caption))
        figures = FIGURES.items()
        found_by = [
            (kind.named(section.metric, section.items).title, finding(name, section))
            for name, kind in figures
        ]
        parts += [markdown_text(f"{title}. {text}") for title, text in found_by if text]
        parts += ["\n".join(f"- {markdown_text(line)}" for line in caveats(section))]
    machines = machine_table(found)
    if machines is not None:
        legend = BEYOND_LEGEND if lay_out(machines).marked else ""
        parts += [f"## {MACHINES}", machines.markdown(), legend, markdown_text(machines.caption)]
    comparison, _ = _side_by_side(runs)
    if comparison is not None:
        parts += ["## The runs side by side", comparison.markdown()]
    judged, claims = judged_claims(found)
    parts += [
        "## Against the paper",
        f"Judged here: {markdown_text(judged)}.",
        claim_table(claims).markdown(),
    ]
    questions = open_questions(found)
    parts += [f"### {TITLE}"] if questions else []
    for one in questions:
        parts += [markdown_text(one.text), _open_table(one).markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(number: int, section: Section) -> dict[str, Any]:
    own = f"s{number}"
    tables = [_titled(own, *one) for one in [("Results", result_table(section)), *_tables(section)]]
    reasons = [_titled(own, "Why, in numbers", why_table(section))]
    found = {
        "id": own,
        "label": section.label,
        "machine": section.machine,
        "headline": headline(section),
        "tables": [one for one in tables if one["table"].groups or one["caption"]],
        "figures": _drawn(own, section),
        "reasons": [one for one in reasons if one["table"].groups],
        "caveats": caveats(section),
        "facts": facts(section),
    }
    return found | {"contents": _contents(found)}


def _titled(section: str, title: str, table: Table) -> dict[str, Any]:
    name = re.sub(r"[^a-z]+", "-", title.lower()).strip("-")
    own = f"{section}-{name}-table"
    return {"id": own, "title": title, "table": lay_out(table), "caption": table.caption}


def _drawn(section_id: str, section: Section) -> list[_Drawn]:
    """Return every figure twice, as wide as the page's text and as a phone."""
    drawn = []
    with look():
        for name, kind in FIGURES.items():
            own = f"{section_id}-{name}"
            words = kind.named(section.metric, section.items)
            caption = " ".join([words.caption, *(kind.marks(section) if kind.marks else ())])
            desk, phone = kind.draw(section, PAGE_WIDTH), kind.draw(section, PHONE_WIDTH)
            if desk is not None and phone is not None:
                said = f"{words.title}. {caption}"
                wide = inline_svg(desk, f"{own}-desk", said)
                narrow = inline_svg(phone, f"{own}-phone", said)
                texts = words.title, caption, finding(name, section)
                drawn.append(_Drawn(own, *texts, wide, narrow))
    return drawn


def _contents(section: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (id, title) of all parts of a section, in the order of the page."""
    parts = [
        *((one["id"], one["title"]) for one in section["tables"]),
        *((one.id, one.title) for one in section["figures"]),
        *((one["id"], one["title"]) for one in section["reasons"]),
        (f"{section['id']}-caveats", "What to know before believing it"),
    ]
    if section["facts"]:
        parts.append((f"{section['id']}-facts", "Machine, meters, data and protocol"))
    return parts


def _tables(section: Section) -> list[tuple[str, Table]]:
    """Return (title, table) of everything beside the results that the section has cells for."""
    found = [
        ("Tokens", token_table(section)),
        ("Emissions", emission_table(section)),
        ("Before and after fine-tuning", before_after_table(section)),
        ("The method's gain or the arithmetic's", arithmetic_table(section)),
        ("The plan and what came", outcome_table(section)),
    ]
    own = [(title, table) for title, table in found if table.rows]
    answers = [*generation_tables(section), *paid_back_tables(section)]
    scripts = [("Phases of scripts", table)] if (table := phase_table(section)).rows else []
    return [*own, *scripts, *estimate_tables(section), *study_tables(section), *answers]


def _side_by_side(runs: Sequence[Run]) -> tuple[Table | None, Sequence[str]]:
    """Compare the cells that several runs share; None for one run, or without a shared cell.

    Runs of studies alone have no cells, and no column.
    """
    with_cells = [run for run in runs if run.records]
    if len(with_cells) < 2:
        return None, ()
    found = compare({run.label: run.records for run in with_cells})
    if not found.rows:
        return None, ()
    headers, rows = comparison_rows(found)
    flat = tuple(head.replace("\n", " ") for head in headers)
    named = [f"{letter}: {run}" for letter, run in zip(found.letters, found.runs, strict=True)]
    table = Table(flat, tuple(map(tuple, rows)), frozenset(range(2, len(flat))))
    return table, [*named, *found.notes]


def open_questions(found: Sequence[Section]) -> list[OpenQuestion]:
    """Return what each section with language models says of the question that the paper leaves."""
    return [question for section in found if (question := open_question(section)) is not None]


def _open_table(question: OpenQuestion) -> Table:
    return claim_table(question.judged, "language models")


def judged_claims(found: Sequence[Section]) -> tuple[str, list[Judgement]]:
    """Judge each claim by the first section that can, else by the first with cells for it.

    Returns the labels of the sections with cells, too.
    """
    judged: list[Judgement] = []
    used: list[str] = []
    by_section = [(section, judgements(as_in_the_paper(section.known))) for section in found]
    for versions in zip(*(answers for _, answers in by_section), strict=True):
        order = sorted(
            range(len(versions)),
            key=lambda i: (versions[i].verdict == CANNOT, not versions[i].has_cells),
        )
        best = versions[order[0]]
        judged.append(best)
        if best.has_cells:
            used.append(by_section[order[0]][0].label)
    return ", ".join(dict.fromkeys(used)) or "nothing", judged
