"""The rules for a run that others contribute, each with a verdict and its reason."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from energybench.config import RunConfig
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.registry import BASELINE, is_repeat
from energybench.report.comparison import machine_groups
from energybench.report.floor import floor
from energybench.report.rows import Row, RowKey, rows
from energybench.report.savings import core
from energybench.report.stats import MIN_PAIRS

_OURS = "energybench"
_CONTAMINATED = "contaminated"
_COUNTED = ("compress", "compile", "calibrate", "finetune")
"""The phases whose energy makes savings, see `RunRecord.kwh_total`."""
_NAMED = 3
"""The most cells that one reason names."""


class Verdict(NamedTuple):
    """Whether a run keeps a rule, and why."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Offer:
    """A run as it is offered."""

    run: Run
    fewer_seeds: bool = False
    """Whether its author says that some cells have fewer seeds than the rule asks for."""

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """All cells."""
        return self.run.records

    @cached_property
    def finished(self) -> list[RunRecord]:
        """The cells that ended well."""
        return [record for record in self.records if record.status == "ok"]

    @cached_property
    def rows(self) -> dict[RowKey, Row]:
        """The finished cells by model, method and setting."""
        return rows(self.records)


@dataclass(frozen=True)
class Rule:
    """One rule of the published list."""

    name: str
    text: str
    """What a run must have, as a sentence."""
    judge: Callable[[Offer], Verdict]


def judged(run: Run, fewer_seeds: bool = False) -> list[tuple[Rule, Verdict]]:
    """Return every rule with its verdict on `run`, in the order of the list.

    A contribution says itself whether it has `fewer_seeds`.
    """
    signed = run.contribution
    offer = Offer(run, fewer_seeds if signed is None else signed.fewer_seeds)
    return [(rule, rule.judge(offer)) for rule in RULES]


def rule_table() -> str:
    """Return the list as a Markdown table, for the manual."""
    lines = ["| rule | what a run must have |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{rule.name}` | {rule.text} |" for rule in RULES)])


def _floor(offer: Offer) -> Verdict:
    noise = floor(offer.records)
    if noise is None:
        return Verdict(False, "no baseline was repeated; measure with --energy-floor=3")
    return Verdict(True, f"{noise.text()} for one pair of cells, {noise.freedom} repetitions")


def _baseline(offer: Offer) -> Verdict:
    own = {(row.model, row.seed) for row in offer.finished if row.method == BASELINE}
    if not own:
        return Verdict(False, "there is no finished baseline; measure one")
    lacking = [one for one in offer.finished if (one.model, one.seed) not in own]
    return _none_of(lacking, "no baseline of its seed", "measure it", "each cell has its own")


def _source(offer: Offer) -> Verdict:
    lacking = [one for one in offer.finished if one.kwh is None or not _is_named(one)]
    if lacking:
        return _none_of(lacking, "no energy, or no source of it", "measure again", "")
    kinds = {
        reading.kind(domain)
        for one in offer.finished
        for reading in one.phases.values()
        for domain in reading.sources
    }
    if "replayed" in kinds:
        return Verdict(False, "its energy was replayed from a file; measure it")
    names = sorted({one.energy_source for one in offer.finished})
    return Verdict(bool(names), f"{', '.join(names) or 'nothing was read'}")


def _is_named(record: RunRecord) -> bool:
    reading = record.phases["finetune"]
    return all(reading.sources.get(domain) for domain in reading.joules)


def _clean(offer: Offer) -> Verdict:
    spoilt = [one for one in offer.finished if _is_contaminated(one)]
    return _none_of(
        spoilt, "contaminated", "measure again on a quiet machine", "no cell is contaminated"
    )


def _is_contaminated(record: RunRecord) -> bool:
    own = [reading.flags for phase, reading in record.phases.items() if phase in _COUNTED]
    return any(_CONTAMINATED in flags for flags in (record.flags, *own))


def _ended(offer: Offer) -> Verdict:
    cut = [one for one in offer.records if one.status == "interrupted"]
    return _none_of(cut, "interrupted", "go on with --energy-resume", "every cell ended")


def _seeds(offer: Offer) -> Verdict:
    counts = {key: len(row) for key, row in offer.rows.items() if not is_repeat(key.method)}
    few = {str(key): count for key, count in counts.items() if count < MIN_PAIRS}
    if not few:
        return Verdict(bool(counts), f"{min(counts.values(), default=0)} or more")
    named = _listed([f"{name} ({count})" for name, count in few.items()])
    if offer.fewer_seeds:
        return Verdict(True, f"fewer in {named}, as the contribution says")
    return Verdict(False, f"fewer than {MIN_PAIRS} in {named}; say so by --fewer-seeds")


def _protocol(offer: Offer) -> Verdict:
    wanted = RunConfig().protocol()
    changed: dict[str, Any] = {}
    for record in offer.records:
        own = vars(record.protocol)
        changed |= {name: own[name] for name in wanted if own[name] != wanted[name]}
    if changed:
        named = [f"{name} is {value}, not {wanted[name]}" for name, value in changed.items()]
        return Verdict(False, f"{_listed(named)}; measure with the defaults")
    cores = {core(key) for key in offer.rows}
    several = [model for model, count in Counter(key.model for key in cores).items() if count > 1]
    if several:
        return Verdict(False, f"{_listed(several)} has several settings; make a file for each")
    return Verdict(True, "the default one")


def _machine(offer: Offer) -> Verdict:
    names = list(machine_groups(offer.records))
    if len(names) != 1:
        return Verdict(False, f"{len(names)} machines measured it; contribute one file for each")
    unnamed = [one for one in offer.records if not _is_known(one)]
    return _none_of(unnamed, "processor, cores or memory not named", "measure again", names[0])


def _is_known(record: RunRecord) -> bool:
    machine = record.machine
    facts = [machine.get(name) for name in ("cpu", "logical_cores", "ram_gib")]
    return all(facts) and machine["cpu"] != "unknown"


def _versions(offer: Offer) -> Verdict:
    found = dict.fromkeys(_versions_of(one) for one in offer.records)
    if len(found) != 1:
        return Verdict(False, "its cells ran under several versions; contribute one file for each")
    ((python, torch, own),) = found
    if None in (python, torch, own):
        return Verdict(False, "a version of Python, torch or energybench is missing")
    return Verdict(True, f"Python {python}, torch {torch}, energybench {own}")


def _versions_of(record: RunRecord) -> tuple[str | None, str | None, str | None]:
    versions = record.machine.get("versions") or {}
    python, torch, ours = record.machine.get("python"), versions.get("torch"), versions.get(_OURS)
    return _text(python), _text(torch), _text(ours)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _commit(offer: Offer) -> Verdict:
    run = offer.run
    if run.commit_id is not None:
        return Verdict(True, run.commit_id[:12])
    if run.commit is not None and run.commit.endswith("with changes"):
        return Verdict(False, f"{run.commit}; commit them and measure again")
    return Verdict(False, "it is not known; measure in a clone, with --benchmark-json=RUN.json")


RULES: Sequence[Rule] = (
    Rule("baseline", "Each cell has the baseline of its model and seed in the file.", _baseline),
    Rule("floor", "A baseline was repeated, so that the noise of a saving is known.", _floor),
    Rule("source", "Each cell has an energy, whose sources are named; none is replayed.", _source),
    Rule(
        "clean",
        "Neither fine-tuning nor what precedes it, but loading, is contaminated in a cell.",
        _clean,
    ),
    Rule("ended", "No cell was interrupted. One that failed stays, with its error.", _ended),
    Rule(
        "seeds",
        f"Each model and method has {MIN_PAIRS} seeds or more, or the contribution says that some "
        "have fewer.",
        _seeds,
    ),
    Rule(
        "protocol",
        "The protocol is the default one: the paper's training, its tolerance, batch size and PUE. "
        "All cells of a model share data, weights and arithmetic.",
        _protocol,
    ),
    Rule("machine", "One machine measured it; processor, cores and memory are named.", _machine),
    Rule("versions", "Python, torch and energybench are named, the same in all cells.", _versions),
    Rule("commit", "The commit is known and has no changes beside it.", _commit),
)


def _none_of(found: Sequence[RunRecord], problem: str, advice: str, fine: str) -> Verdict:
    if not found:
        return Verdict(True, fine)
    names = [f"{one.model} {one.method} seed {one.seed}" for one in found]
    return Verdict(False, f"{problem}: {_listed(names)}; {advice}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
