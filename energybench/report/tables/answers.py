"""The tables of answers: what a language model's take, and when fine-tuning is paid back."""

from collections.abc import Callable, Iterable
from statistics import fmean

from energybench.records.attempt import DISTURBANCES
from energybench.records.studies import Generation, GenerationPoint
from energybench.registry import BASELINE
from energybench.report.break_even import BreakEven, break_evens
from energybench.report.sections import Section
from energybench.report.stats import Estimate, mean_of_all
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import BEYOND, interval, number

PAID_BACK = "After how many answers is it paid back"
_ALIKE = 0.005
"""Shares of freed weights that differ by less are told as one."""


def generation_tables(section: Section) -> list[tuple[str, Table]]:
    """Return (title, table) of the answers of language models; nothing where there are none."""
    headers = (
        *("model", "method", "arithmetic", "prompt", "answer", "seeds", "batch"),
        *("prefill, J per 1,000 tokens", "decoding, J per 1,000 tokens", "J per answer"),
        *("prefill, tokens/s", "decoding, tokens/s", "s per answer"),
    )
    rows = tuple(
        (*key, str(len({one.seed for one in found})), str(size), *_means(found, size))
        for key, found in _alike(section.generations).items()
        for size in sorted({point.batch_size for one in found for point in one.points})
    )
    if not rows:
        return []
    caption = (
        "Prompt and answer in tokens, batch in prompts that are answered together. Prefill, "
        "decoding and whole answers were measured in a window of their own each; the prefill gives "
        "the first token of an answer, decoding the rest."
    )
    table = Table(headers, rows, frozenset(range(3, len(headers))), caption)
    return [("Answers of language models, in numbers", table)]


def _alike(found: Iterable[Generation]) -> dict[tuple[str, ...], list[Generation]]:
    """Return what a row of several seeds shares -> their answers."""
    groups: dict[tuple[str, ...], list[Generation]] = {}
    for one in found:
        lengths = str(one.prompt_length), str(one.answer_length)
        groups.setdefault((one.model, one.method, one.precision, *lengths), []).append(one)
    return groups


def _means(found: Iterable[Generation], size: int) -> tuple[str, ...]:
    """Return the means at one batch size: joules, then rates and seconds."""
    points = [point for one in found for point in one.points if point.batch_size == size]

    def mean(read: Callable[[GenerationPoint], float | None]) -> float | None:
        return mean_of_all([read(point) for point in points])

    read_s = fmean(point.prefill_seconds_per_1000_tokens for point in points)
    write_s = fmean(point.decode_seconds_per_1000_tokens for point in points)
    return (
        number(mean(lambda point: point.prefill_joules_per_1000_tokens)),
        number(mean(lambda point: point.decode_joules_per_1000_tokens)),
        number(mean(lambda point: point.joules_per_answer)),
        number(1000.0 / read_s),
        number(1000.0 / write_s),
        number(mean(lambda point: point.seconds_per_answer)),
    )


def paid_back_tables(section: Section) -> list[tuple[str, Table]]:
    """Return (title, table) of after how many answers each method is paid back.

    Nothing where no answers were measured on the section's machine.
    """
    found, left_out = break_evens(section.savings.values(), section.answered)
    labelled = any(section.labels[one.saving.key] for one in found)
    headers = [
        *("model", "method", *(["setting"] if labelled else []), "seeds", "batch"),
        *("more to fine-tune, J", "less per answer, J", "paid back after, answers", "note"),
    ]
    rows = tuple(
        (
            one.saving.model,
            one.saving.method,
            *([section.labels[one.saving.key]] if labelled else []),
            str(one.more.pairs),
            str(one.batch_size),
            _signed(one.more),
            _signed(one.less),
            one.text,
            "; ".join(_notes(section, one)),
        )
        for one in found
    )
    if not rows and not left_out:
        return []
    first = 3 if labelled else 2
    numbers = frozenset(range(first, len(headers) - 1))
    return [(PAID_BACK, Table(tuple(headers), rows, numbers, _caption(section, left_out)))]


def _caption(section: Section, left_out: dict[str, str]) -> str:
    own = [one for one in section.answered if one.model in section.models]
    kinds = {
        f"{one.answer_length} tokens after a prompt of {one.prompt_length}"
        if isinstance(one, Generation)
        else "one image"
        for one in own
    }
    text = (
        f"An answer is {' or '.join(sorted(kinds))}. Fine-tuning includes the method's search. In "
        "brackets: the numbers of answers at which 95 % intervals over the seeds leave open who "
        "has taken less in all (E. Fieller, 1954)."
    )
    lines = [f"{name}: {why}." for name, why in left_out.items()]
    return " ".join([text, *lines])


def _signed(mean: Estimate) -> str:
    """Return joules with a sign and their interval: "+120 [96, 144]"."""
    sign = "+" if mean.value > 0.0 else ""
    return f"{sign}{number(mean.value)}" + interval(mean, number)


def _notes(section: Section, one: BreakEven) -> list[str]:
    return [text for applies, text in _NOTES if applies(section, one)] + _unlike(section, one)


def _within_noise(section: Section, one: BreakEven) -> bool:
    ratio, noise = one.saving.with_search, section.noise
    return ratio is not None and noise is not None and noise.covers(ratio)


_NOTES: tuple[tuple[Callable[[Section, BreakEven], bool], str], ...] = (
    (_within_noise, "fine-tuning: no difference beyond the noise floor"),
    (lambda section, one: bool(one.saving.beyond), f"{BEYOND} drop beyond the tolerance"),
)


def _unlike(section: Section, one: BreakEven) -> list[str]:
    """Return what was disturbed, and how the network that answered was another one."""
    records = [record for record, _ in one.saving.pairs]
    trained = {flag for pair in one.saving.pairs for each in pair for flag in each.flags}
    seeds = {record.seed for record in records}
    both = [
        each
        for each in section.answered
        if each.model == one.saving.model
        and each.method in (one.saving.method, BASELINE)
        and each.seed in seeds
    ]
    asked = [each for each in both if each.method == one.saving.method]
    asked_with = {flag for each in both for flag in each.flags}
    found = [f"fine-tuning {flag}" for flag in DISTURBANCES if flag in trained]
    found += [f"answers {flag.replace('_', ' ')}" for flag in sorted(asked_with)]
    tuned_in, asked_in = {each.precision for each in records}, {each.precision for each in asked}
    if tuned_in != asked_in and None not in tuned_in:  # older records do not say
        found.append(f"fine-tuned in {_all(tuned_in)}, answers in {_all(asked_in)}")
    pixels = {each.dataset.details.get("image_size") for each in records} - {None}
    asked_at = {each.image_size for each in asked if not isinstance(each, Generation)}
    if pixels and asked_at and pixels != asked_at:
        found.append(f"fine-tuned at {_all(pixels)} pixels, answers at {_all(asked_at)}")
    rates = [each.compression.compression_rate for each in records if each.compression]
    freed = [each.compression_rate for each in asked]
    if rates and freed and abs(sum(rates) / len(rates) - sum(freed) / len(freed)) > _ALIKE:
        shares = (f"{100 * sum(each) / len(each):.0f} %" for each in (rates, freed))
        found.append("freed {} in fine-tuning, {} in answers".format(*shares))
    return found


def _all(values: Iterable[object]) -> str:
    return " and ".join(sorted(map(str, values)))
