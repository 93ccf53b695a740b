"""Who keeps the machine busy, and the wait until it is quiet."""

from collections.abc import Callable, Iterable

import pytest
from support.neighbour import busy_neighbour

from energybench.energy.cpu_use import CpuWatch
from energybench.energy.neighbours import Busyness, Neighbour, observe, wait_until_quiet
from energybench.energy.readings import CpuUse

QUIET = Busyness(CpuUse(0.0, 0.0, 0.0, 1.0), [], contaminated=False)
BUSY = Busyness(CpuUse(0.0, 0.9, 0.0, 1.0), [Neighbour(7, "make", 0.9)], contaminated=True)


def waited(looks: Iterable[Busyness], at_most_s: float) -> tuple[bool, float, list[str]]:
    """Whether the machine was quiet in the end, the seconds waited, and what was said."""
    now, said, left = [0.0], list[str](), iter(looks)

    def look() -> Busyness:
        now[0] += 0.5
        return next(left)

    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    return wait_until_quiet(at_most_s, said.append, look, clock), now[0], said


def test_a_quiet_machine_is_looked_at_and_nothing_is_said() -> None:
    assert waited([QUIET] * 9, 60.0) == (True, 2.0, [])


def test_a_wait_says_for_whom_and_ends_after_two_quiet_seconds() -> None:
    quiet, seconds, said = waited([QUIET, BUSY, QUIET, BUSY, *[QUIET] * 9], 60.0)
    assert (quiet, seconds) == (True, 4.0)
    assert said == [
        "waiting for a quiet machine, at most 60.0 s: others used 90 % of the processors, this "
        "process 0 % (7 make 90 %)",
        "the machine is quiet after 4.0 s",
    ]


def test_a_wait_gives_up_and_says_so() -> None:
    quiet, seconds, said = waited([BUSY] * 99, 5.0)
    assert (quiet, seconds) == (False, 5.0)
    assert said[1].startswith("the machine was not quiet within 5.0 s: others used 90 %")


def test_nobody_waits_where_the_system_does_not_tell() -> None:
    quiet, seconds, said = waited([Busyness(None, [], contaminated=False)], 60.0)
    assert (quiet, seconds) == (False, 0.5)
    assert said == [
        "not waiting for a quiet machine: this system does not tell who uses the processors"
    ]


def test_a_busy_neighbour_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energybench.energy.neighbours._NAMED", 99)  # others may be busier
    with busy_neighbour() as neighbours:
        found = observe(CpuWatch(), 0.3)
    assert found.contaminated
    assert {one.pid for one in found.busiest} & {*neighbours}
    assert str(found).startswith("others used ")
