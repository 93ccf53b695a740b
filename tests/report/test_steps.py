import math

import numpy as np
import pytest

from energybench.report.stats import TAIL
from energybench.report.steps import MIN_RUNS, levels

FINE = 1e-4
"""A resolution below any noise here."""


def noise(runs: int, seed: int, size: float = 0.03) -> list[float]:
    return list(np.random.default_rng(seed).normal(0.0, size, runs))


def stepped(runs: int, after: int, height: float, seed: int = 0) -> list[float]:
    values = noise(runs, seed)
    return [*values[:-after], *(value + height for value in values[-after:])]


@pytest.mark.parametrize("after", [1, 2, 5, 12])
def test_a_step_is_found_at_its_place_with_its_height(after: int) -> None:
    found = [levels(stepped(21, after, 0.3, seed), FINE).step for seed in range(40)]
    assert None not in found
    steps = [step for step in found if step is not None]
    right = [step for step in steps if (step.place, step.after) == (21 - after, after)]
    assert len(right) >= 36
    ends = [step.change for step in right]
    covered = [one for one in ends if (one.low or 0.0) < 0.3 < (one.high or 0.0)]
    assert len(covered) >= len(right) - 1  # 95 %
    assert all((one.low or 0.0) > 0.1 for one in ends)
    assert all(step.p_beyond(0.0) < 0.005 and step.p_beyond(0.5) > 0.5 for step in right)


def test_a_step_down_has_a_negative_height() -> None:
    step = levels(stepped(21, 6, -0.3), FINE).step
    assert step is not None
    assert step.place == 15
    assert step.height == pytest.approx(-0.3, abs=0.06)
    assert step.p_beyond(0.0) == 1.0


def test_of_two_steps_up_the_first_is_when_it_began() -> None:
    values = [
        value + (0.3 if n >= 7 else 0.0) + (0.3 if n >= 14 else 0.0)
        for n, value in enumerate(noise(21, 1))
    ]
    step = levels(values, FINE).step
    assert step is not None
    assert (step.place, step.before, step.after) == (7, 7, 14)
    assert step.height == pytest.approx(0.6, abs=0.06)


def test_a_small_step_before_a_large_one_is_not_when_it_began() -> None:
    values = [1.0] * 7 + [1.01] * 7 + [1.3] * 7
    step = levels(
        [one + two for one, two in zip(values, noise(21, 1, 0.001), strict=True)], FINE
    ).step
    assert step is not None
    assert (step.place, step.before, step.after) == (14, 7, 7)
    assert step.height == pytest.approx(0.3, abs=0.01)


def test_a_step_that_was_taken_back_is_none() -> None:
    values = [value + (0.3 if 7 <= n < 14 else 0.0) for n, value in enumerate(noise(21, 2))]
    found = levels(values, FINE)
    assert found.number == 3
    assert found.step is None or found.step.height < 0.0


def test_one_outlier_among_the_earlier_runs_is_no_level() -> None:
    values = noise(21, 3)
    values[9] -= 0.5
    assert levels(values, FINE).step is None


@pytest.mark.parametrize("runs", [MIN_RUNS, 9, 21])
@pytest.mark.parametrize("kind", ["normal", "laplace"])
def test_noise_alone_is_called_a_regression_in_at_most_the_promised_share(
    runs: int, kind: str
) -> None:
    """The promise is 2.5 %, for normal noise; with longer tails it is nearly kept."""
    draw = np.random.default_rng(runs)
    rows = getattr(draw, kind)(0.0, 0.05, (1000, runs))
    found = [levels(list(row), FINE).step for row in rows]
    wrong = sum(step is not None and step.p_beyond(0.0) <= TAIL for step in found)
    doubt = 3.0 * math.sqrt(TAIL * (1.0 - TAIL) / len(rows))
    assert wrong / len(rows) <= TAIL + doubt


def test_equal_values_have_no_step_and_a_difference_below_the_resolution_is_none() -> None:
    assert levels([1.0] * 12, 0.0).step is None
    assert levels([1.0] * 12, 0.1).spread == 0.0
    assert levels([1.0] * 8 + [1.05] * 4, 0.1).step is None
    assert levels([1.0] * 8 + [1.05] * 4, 0.01).step is not None


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 5 runs"):
        levels([1.0] * (MIN_RUNS - 1), FINE)
