"""After how many answers a method has paid back what its fine-tuning and search took.

A method takes `more` joules than its baseline to fine-tune, its search included, and `less` joules
per answer. After n answers it has taken `more` - n x `less` joules more than the baseline in all,
so it is paid back at n = `more` / `less`. Joules are those of the machine (IT energy). Seeds are
paired: each has its own fine-tuning and its own answers.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from energybench.energy.units import JOULES_PER_KWH
from energybench.records.record import RunRecord
from energybench.records.studies import Answered, Generation
from energybench.registry import BASELINE
from energybench.report.savings import Saving
from energybench.report.stats import MIN_PAIRS, Estimate, crossing, means

AT_ONCE, NEVER, ALWAYS = "at once", "never", "always"
TOO_FEW_SEEDS = "too few seeds for an interval"


@dataclass(frozen=True)
class BreakEven:
    """One method against its baseline, answering at one batch size."""

    saving: Saving
    batch_size: int
    more: Estimate
    """Joules that fine-tuning and search took more than the baseline's; negative for less."""
    less: Estimate
    """Joules that an answer takes less than the baseline's; negative for more."""
    doubt: tuple[float, float] | None
    """Numbers of answers at which either may have taken less in all; None without such numbers, and
    where seeds are `too_few`."""

    @property
    def too_few(self) -> bool:
        """Whether the seeds are too few for an interval."""
        return self.more.pairs < MIN_PAIRS

    @property
    def answers(self) -> float:
        """Answers until both have taken as much: 0 at once, infinity never.

        Of a method that is cheaper to fine-tune and dearer to ask, the answers up to which it has
        taken less.
        """
        more, less = self.more.value, self.less.value
        if more > 0.0:
            return more / less if less > 0.0 else math.inf
        return more / less if less < 0.0 else 0.0

    @property
    def runs_out(self) -> bool:
        """Whether the method begins with an advantage that its answers use up."""
        return self.more.value <= 0.0 and self.less.value < 0.0

    @property
    def text(self) -> str:
        """Such as "1,230 [980, 1,620]", "never", "at once", "at once, up to 500 [300, 900]"."""
        if self.runs_out:
            middle = f"{AT_ONCE}, up to {_count(self.answers)}"
        else:
            middle = _count(self.answers)
        return middle + self._interval

    @property
    def _interval(self) -> str:
        if self.too_few:
            return f" ({TOO_FEW_SEEDS})"
        if self.doubt is None:
            return ""
        low, high = self.doubt
        if self.more.value > 0.0 or math.isfinite(high):
            return f" [{_count(low)}, {_count(high)}]"
        if self.runs_out:
            return f" [{_count(low)}, {ALWAYS}]"
        return f" [in doubt from {_count(low)} on]"


def _count(answers: float) -> str:
    """Return a number of answers, rounded up to three digits: "1,230"; "at once" for 0."""
    if answers <= 0.0:
        return AT_ONCE
    if math.isinf(answers):
        return NEVER
    whole = math.ceil(answers)
    return f"{whole if whole < 1000 else int(float(f'{whole:.3g}')):,}"


def break_evens(
    savings: Iterable[Saving], answered: Iterable[Answered]
) -> tuple[list[BreakEven], dict[str, str]]:
    """Return when each of `savings` is paid back, by batch size, and who is left out and why.

    `answered` are answers measured on the same machine; of a repeated one the last counts. Savings
    of models without answers of the baseline are left out silently.
    """
    by_seed: dict[tuple[str, str], dict[int, Answered]] = {}
    for one in answered:
        by_seed.setdefault((one.model, one.method), {})[one.seed] = one
    found: list[BreakEven] = []
    left_out: dict[str, str] = {}
    for saving in savings:
        base = by_seed.get((saving.model, BASELINE))
        if base is None:
            continue
        ours = by_seed.get((saving.model, saving.method), {})
        why = _obstacle(saving, ours, base)
        if why is None:
            found += _by_batch(saving, ours, base)
        else:
            left_out[f"{saving.model} {saving.method}"] = why
    return found, left_out


def _obstacle(
    saving: Saving, ours: Mapping[int, Answered], base: Mapping[int, Answered]
) -> str | None:
    """Return why fine-tuning and answers cannot be added up; None where they can."""
    if not ours:
        return "its answers were not measured"
    pairs = _of_seeds(saving, ours, base)
    if not pairs:
        return "no seed has both its fine-tuning and its answers"
    tuned = {one.energy_source for pair in pairs for one in pair[:2]}
    asked = {"+".join(sorted(set(one.sources.values()))) for pair in pairs for one in pair[2:]}
    if tuned != asked or len(tuned) > 1:
        return f"fine-tuning was read by {_listed(tuned)}, answers by {_listed(asked)}"
    if any(one.kwh_total is None for pair in pairs for one in pair[:2]):
        return "the energy of its fine-tuning is not known"
    if len({_lengths(one) for pair in pairs for one in pair[2:]}) > 1:
        return "its answers have other lengths than the baseline's"
    if not _batch_sizes(pairs):
        return "no batch size has a known energy of its answers and the baseline's"
    return None


def _listed(sources: Iterable[str]) -> str:
    return " and ".join(sorted(one or "nothing" for one in sources))


_Four = tuple[RunRecord, RunRecord, Answered, Answered]
"""Record, baseline, answers and the baseline's answers of one seed."""


def _of_seeds(
    saving: Saving, ours: Mapping[int, Answered], base: Mapping[int, Answered]
) -> list[_Four]:
    return [
        (record, other, ours[record.seed], base[record.seed])
        for record, other in saving.pairs
        if record.seed in ours and record.seed in base
    ]


def _lengths(one: Answered) -> tuple[int, ...]:
    if isinstance(one, Generation):
        return one.prompt_length, one.answer_length
    return (one.image_size,)


def _batch_sizes(pairs: Iterable[_Four]) -> list[int]:
    """Return the batch sizes that all answers have, in order."""
    sizes = [set(one.joules_by_batch) for pair in pairs for one in pair[2:]]
    return sorted(set.intersection(*sizes))


def _by_batch(
    saving: Saving, ours: Mapping[int, Answered], base: Mapping[int, Answered]
) -> list[BreakEven]:
    pairs = _of_seeds(saving, ours, base)
    more = [_joules(record) - _joules(other) for record, other, _, _ in pairs]
    found = []
    for size in _batch_sizes(pairs):
        less = [b.joules_by_batch[size] - a.joules_by_batch[size] for _, _, a, b in pairs]
        of_more, of_less = means([more, less])
        both = list(zip(more, less, strict=True))
        doubt = crossing(both) if len(both) >= MIN_PAIRS else None
        found.append(BreakEven(saving, size, of_more, of_less, doubt))
    return found


def _joules(record: RunRecord) -> float:
    """Return the joules of fine-tuning and its preparation, search included."""
    return (record.kwh_total or 0.0) * JOULES_PER_KWH / record.pue
