"""Epochs that took more than their share."""

from dataclasses import replace

import pytest

from energybench.records.epoch import EpochRecord, with_uneven

EPOCH = EpochRecord(1, 0.5, 0.4, 0.9, 7, 448, 2.0, 100.0, 448.0, None)


def uneven(changes: list[dict[str, object]], measured: bool = True) -> list[bool]:
    """Which epochs are marked; each has 2 s and 100 J unless it is changed."""
    epochs = [
        replace(EPOCH, epoch=number, **change)  # type: ignore[arg-type]
        for number, change in enumerate(changes, 1)
    ]
    marked = with_uneven(epochs, measured)
    assert with_uneven(marked, measured) == marked  # a resumed cell is judged anew
    return ["uneven" in epoch.flags for epoch in marked]


@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        ({"duration_s": 2.3}, False),
        ({"duration_s": 2.5}, True),
        ({"duration_s": 1.0}, False),
        ({"joules": 119.0}, False),
        ({"joules": 121.0}, True),
        ({"joules": 121.0, "flags": ["short_window"]}, False),
        ({"joules": None}, False),
    ],
)
def test_an_epoch_over_a_fifth_above_the_median_is_uneven(
    slow: dict[str, object], expected: bool
) -> None:
    assert uneven([{}, slow, {}, {}]) == [False, expected, False, False]


def test_estimated_joules_and_moments_do_not_count() -> None:
    assert uneven([{}, {"joules": 500.0}, {}], measured=False) == [False] * 3
    short: dict[str, object] = {"duration_s": 0.02}
    assert uneven([short, {"duration_s": 0.06}, short]) == [False] * 3
    assert uneven([{}]) == [False]
    assert with_uneven([], measured=True) == []


def test_a_recovered_epoch_loses_its_mark_and_keeps_the_others() -> None:
    before = replace(EPOCH, flags=["contaminated", "uneven"])
    assert [one.flags for one in with_uneven([before, EPOCH], True)] == [["contaminated"], []]
