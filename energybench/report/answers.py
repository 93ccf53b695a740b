"""Sentences on what answers take: each method against the baseline, as means over the seeds."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from energybench.records.studies import Answered, GenerationPoint, InferencePoint
from energybench.registry import BASELINE
from energybench.report.headline import listed
from energybench.report.sections import Section
from energybench.report.stats import Estimate, ratios
from energybench.report.text import interval

A = TypeVar("A", bound=Answered)
Joules = Callable[[A, int], float | None]
"""A study and a batch size -> joules."""


def inference_finding(section: Section) -> list[str]:
    """Compare each method's images with the baseline's, at the smallest and the largest batch."""

    def joules(one: Answered, size: int) -> float | None:
        return one.joules_by_batch.get(size)

    lines = []
    for name, pairs in _against_the_baseline(section.inferences):
        clauses = [
            f"{_less(ratio)} than the baseline{_ends(ratio)} at batch {size}"
            if (ratio := _ratio(pairs, size, joules))
            else f"an unknown energy at batch {size}"
            for size in _outer_batches(pairs)
        ]
        lines.append(f"{name} takes {' and '.join(clauses)}.")
    return lines


def generation_finding(section: Section) -> list[str]:
    """Compare each method's tokens with the baseline's, at the smallest and the largest batch."""
    parts = (("prefill", _prefill), ("decoding", _decode))
    lines = []
    for name, pairs in _against_the_baseline(section.generations):
        clauses = [
            listed([_clause(part, _ratio(pairs, size, joules)) for part, joules in parts])
            + f" at batch {size}"
            for size in _outer_batches(pairs)
        ]
        lines.append(f"{name} against the baseline, per token: {'; '.join(clauses)}.")
    return lines


def _prefill(one: Answered, size: int) -> float | None:
    point = _point(one, size)
    return point.prefill_joules_per_1000_tokens if isinstance(point, GenerationPoint) else None


def _decode(one: Answered, size: int) -> float | None:
    point = _point(one, size)
    return point.decode_joules_per_1000_tokens if isinstance(point, GenerationPoint) else None


def _point(one: Answered, size: int) -> GenerationPoint | InferencePoint:
    return next(point for point in one.points if point.batch_size == size)


def _against_the_baseline(found: Iterable[A]) -> list[tuple[str, list[tuple[A, A]]]]:
    """Return "model method [arithmetic]" and pairs of one seed, method by method."""
    by_method: dict[tuple[str, str], dict[int, A]] = {}
    for one in found:
        by_method.setdefault((one.model, one.method), {})[one.seed] = one
    result = []
    for (model, method), ours in by_method.items():
        base = by_method.get((model, BASELINE), {})
        pairs = [(own, base[seed]) for seed, own in ours.items() if seed in base]
        if method != BASELINE and pairs:
            arithmetic = listed(sorted({own.precision for own, _ in pairs}))
            result.append((f"{model} {method} [{arithmetic}]", pairs))
    return result


def _outer_batches(pairs: Iterable[tuple[A, A]]) -> list[int]:
    """Return the smallest and the largest batch size that all have; one where they are equal."""
    sets = [{point.batch_size for point in one.points} for pair in pairs for one in pair]
    sizes = sorted(set.intersection(*sets))
    return list(dict.fromkeys((*sizes[:1], *sizes[-1:])))


def _ratio(pairs: list[tuple[A, A]], size: int, joules: "Joules[A]") -> Estimate | None:
    """Return the ratio of joules, the method's over the baseline's; None if one is not known."""
    both = [(joules(own, size), joules(base, size)) for own, base in pairs]
    known = [(ours, theirs) for ours, theirs in both if ours and theirs]
    return ratios([known])[0] if len(known) == len(pairs) else None


def _clause(part: str, ratio: Estimate | None) -> str:
    """Return "prefill takes 20 % less energy [-21 %, -19 %]", or that no difference is clear."""
    if ratio is None:
        return f"{part} takes an unknown energy"
    if ratio.low is not None and ratio.high is not None and ratio.low <= 1.0 <= ratio.high:
        return f"{part} shows no clear difference{_ends(ratio)}"
    return f"{part} takes {_less(ratio)}{_ends(ratio)}"


def _less(ratio: Estimate) -> str:
    percent = 100 * (ratio.value - 1.0)
    return f"{abs(percent):.0f} % {'less' if percent < 0 else 'more'} energy"


def _ends(ratio: Estimate) -> str:
    return interval(ratio, lambda end: f"{100 * (end - 1.0):+.1f} %")
