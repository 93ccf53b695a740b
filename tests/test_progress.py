"""The live line: what it shows, and when it says that it ends."""

import io

import pytest

from energybench.progress import Pace, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def paced(durations: list[float], total: int, likely: float | None = None, at_most: bool = False):  # type: ignore[no-untyped-def]
    clock = Clock()
    pace = Pace(total, likely, at_most, clock)
    for seconds in durations:
        clock.now += seconds
        pace.step()
    return pace.left()


@pytest.mark.parametrize(
    ("durations", "total", "likely", "at_most", "says"),
    [
        ([], 10, None, False, ""),
        ([2.0, 4.0], 10, None, False, "0:00:24 to go"),
        ([2.0, 4.0], 10, None, True, "at most 0:00:24 to go"),
        ([2.0, 4.0], 10, 5.0, True, "about 0:00:09 to go"),
        ([1.0] * 6, 10, 5.0, True, "at most 0:00:04 to go"),  # more than likely
        ([1.0] * 10, 10, None, False, ""),
        ([0.0] * 20 + [3.0] * 5, 30, None, False, "0:00:15 to go"),  # 20 of an earlier run
    ],
)
def test_the_time_to_go_follows_the_latest_steps(
    durations: list[float], total: int, likely: float | None, at_most: bool, says: str
) -> None:
    assert paced(durations, total, likely, at_most) == says


def test_a_narrow_terminal_keeps_name_count_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    progress = Progress(terminal, ending=lambda: "all cells end about 14:32")
    with progress.bar("resnet18 baseline", 50, at_most=True) as step:
        step("loss 0.123, validation 0.456, 212 W")
    seen = terminal.getvalue()
    for part in ("resnet18 baseline", "1/50", "at most 0:00:00 to go"):
        assert part in seen


def test_nothing_is_drawn_without_a_terminal() -> None:
    file = io.StringIO()
    with Progress(file).bar("resnet18 baseline", 50) as step:
        step("loss 0.123")
    assert file.getvalue() == ""
