import time

import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scores import by_accuracy
from torch import nn

from energybench.compression.base import Judged, Score
from energybench.compression.resampling import setting_interval
from energybench.compression.search import boundary, largest, strongest
from energybench.records.metric import ACCURACY, Metric


@given(count=st.integers(0, 200), edge=st.integers(0, 200))
def test_exact_when_monotone(count: int, edge: int) -> None:
    found = largest(count, lambda index: index < edge, budget=12)
    assert found == (min(count, edge) - 1 if count and edge else None)


@given(verdicts=st.lists(st.booleans(), max_size=60), budget=st.integers(0, 12))
def test_the_index_found_never_lies_above_a_refused_one(verdicts: list[bool], budget: int) -> None:
    asked: list[int] = []

    def accepts(index: int) -> bool:
        asked.append(index)
        return verdicts[index]

    found = largest(len(verdicts), accepts, budget)
    early = asked[:budget]
    edge = min((index for index in early if not verdicts[index]), default=len(verdicts))
    left = [index for index in early if index < edge]
    assert len(asked) <= budget or not left, "more only as long as no accepted index is left"
    assert len(asked) <= budget + len(verdicts).bit_length()
    assert len(set(asked)) == len(asked)
    refused = min((index for index in asked if not verdicts[index]), default=len(verdicts))
    accepted = [index for index in asked if index < refused]
    assert found == (max(accepted) if accepted else None)
    assert found is not None or not verdicts or 0 in asked, "no index only where 0 was refused"


@given(verdicts=st.lists(st.booleans(), min_size=1, max_size=60))
def test_both_neighbours_are_known(verdicts: list[bool]) -> None:
    asked: list[int] = []

    def accepts(index: int) -> bool:
        asked.append(index)
        return verdicts[index]

    found = largest(len(verdicts), accepts, budget=len(verdicts))
    last = len(verdicts) - 1
    if found is None:
        assert 0 in asked
    else:
        assert {max(found - 1, 0), found, min(found + 1, last)} <= set(asked)


@given(edge=st.integers(0, 31))
def test_ends_as_soon_as_both_neighbours_are_known(edge: int) -> None:
    asked: list[int] = []

    def accepts(index: int) -> bool:
        asked.append(index)
        return index < edge

    largest(31, accepts, budget=31)
    assert len(asked) <= 6  # five of bisection over 31, and a neighbour


def test_luck_above_the_boundary_does_not_count() -> None:
    lucky = {19}  # accepted, although 17 and 18 are not
    assert largest(31, lambda index: index <= 16 or index in lucky, budget=8) == 16
    assert largest(31, lambda index: index <= 16 or index in lucky, budget=7) == 15  # not tried


def test_settings_refused_by_a_hair_do_not_hide_a_weak_one_that_is_within_the_tolerance() -> None:
    accepted = {0, 1, 3}  # of 99: by the luck of a few items 3 is within the tolerance, 2 is not
    assert largest(99, lambda index: index in accepted, budget=8) == 1
    assert largest(99, lambda index: index == 0, budget=3) == 0


class Dial:
    """A trial whose setting the score reads."""

    def __init__(self) -> None:
        self.at = 0.0
        self.settings: list[float] = []

    def apply(self, setting: float) -> None:
        assert self.at == 0.0, "applied to a model that is not untouched"
        self.at = setting
        self.settings.append(setting)

    def restore(self) -> None:
        self.at = 0.0


def test_boundary_leaves_the_model_untouched_and_strongest_applies() -> None:
    dial = Dial()
    settings = [tenth / 10 for tenth in range(1, 10)]

    @by_accuracy
    def score(model: nn.Module) -> float:
        return 0.9 - (0.2 if dial.at > 0.65 else 0.0)

    found = boundary(nn.Identity(), score, 1.0, settings, dial, 6)
    assert (found.setting, found.score, found.monotone) == (0.6, 0.9, True)
    assert dial.at == 0.0
    assert [setting for setting, _ in found.curve] == dial.settings
    assert strongest(nn.Identity(), score, 1.0, settings, dial, 6).setting == dial.at == 0.6


@given(
    values=st.lists(st.integers(0, 40), min_size=2, max_size=40),
    tolerance=st.integers(0, 10),
)
def test_where_lower_is_better_the_search_goes_the_other_way(
    values: list[int], tolerance: int
) -> None:
    """A loss is searched as its negative is where higher is better."""
    dial = Dial()
    settings = list(range(1, len(values)))
    loss = Score(lambda model: values[int(dial.at)], Metric("loss", False, "", 1.0))
    gain = Score(lambda model: -values[int(dial.at)], Metric("gain", True, "", 1.0))
    found = boundary(nn.Identity(), loss, tolerance, settings, dial, 12)
    mirrored = boundary(nn.Identity(), gain, tolerance, settings, dial, 12)
    assert found.setting == mirrored.setting
    assert found.score == -mirrored.score <= values[0] + tolerance
    assert found.monotone == mirrored.monotone


def test_a_known_reference_is_not_measured_again() -> None:
    dial, scores = Dial(), list[float]()

    @by_accuracy
    def score(model: nn.Module) -> float:
        scores.append(dial.at)
        return 0.8

    found = boundary(nn.Identity(), score, 1.0, [1.0, 2.0], dial, 6, reference=Judged(0.9))
    assert (found.reference, found.setting) == (0.9, None)
    assert 0.0 not in scores


def test_a_curve_that_is_not_monotone_is_said_to_be() -> None:
    dial = Dial()

    @by_accuracy
    def score(model: nn.Module) -> float:
        return 0.9 if dial.at <= 4 or dial.at == 6 else 0.7

    found = boundary(nn.Identity(), score, 1.0, list(range(1, 12)), dial, 8)
    assert found.setting == 4
    assert not found.monotone
    report = found.report("stego", {"bits": 4}, 0.1)
    assert report.notes == [
        "the curve is not monotone: 6 is within the tolerance, the weaker 5 is not"
    ]


def test_a_search_says_how_far_its_setting_depends_on_the_items() -> None:
    """Of 300 items, setting 3 loses 2, which is within a point by a single item."""
    dial, items = Dial(), 300

    def judge(model: nn.Module) -> Judged:
        lost = {0: 0, 1: 0, 2: 0, 3: 2, 4: 20, 5: 60}[int(dial.at)]
        right = torch.arange(items) >= lost
        return Judged(right.double().mean().item(), right)

    found = boundary(nn.Identity(), Score(judge, ACCURACY), 1.0, [1, 2, 3, 4, 5], dial, 6)
    assert found.setting == 3
    assert found.interval == (2.0, 3.0)
    assert found.report("stego", {"bits": 3}, 0.1).interval == (2.0, 3.0)
    unknown = boundary(nn.Identity(), by_accuracy(lambda model: 0.9), 1.0, [1, 2], dial, 6)
    assert unknown.interval is None


def test_the_interval_of_a_setting_is_fast_at_the_size_of_imagenet() -> None:
    chance = torch.Generator().manual_seed(0)
    right = [torch.rand(50_000, generator=chance) < share for share in (0.7, 0.7, 0.69, 0.6)]
    tried = [(float(number), one) for number, one in enumerate(right[1:], 1)]
    began = time.process_time()
    interval = setting_interval(ACCURACY, right[0], tried, 1.0)
    assert time.process_time() - began < 0.2
    assert interval is not None
    assert 0.0 <= interval[0] <= interval[1] <= 2.0
    assert interval == setting_interval(ACCURACY, right[0], tried, 1.0)  # seeded
    loss = Metric("loss", higher_is_better=False, unit="", scale=1.0)
    assert setting_interval(loss, right[0], tried, 1.0) is None
    assert setting_interval(ACCURACY, right[0], [], 1.0) is None
