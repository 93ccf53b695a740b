"""An interruption is raised once, where nothing is lost, and is never forgotten."""

from collections.abc import Iterator
from threading import Thread

import pytest

from energybench.interruption import asked, check, interrupt, postponed, remembered


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with remembered():
        yield


def test_it_is_raised_where_it_comes_in() -> None:
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        interrupt("SIGTERM")


def test_a_block_that_loses_something_ends_first() -> None:
    done = []

    def read() -> None:
        with postponed():
            with postponed():
                interrupt("SIGINT")
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt, match="SIGINT"):
        read()
    assert done == ["inner", "outer"]
    with postponed():
        done.append("it is raised once")


def test_who_asks_twice_does_not_wait() -> None:
    done = []

    def read() -> None:
        with postponed():
            interrupt("SIGINT")
            done.append("first")
            interrupt("SIGTERM")
            done.append("second")

    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        read()
    assert done == ["first"]


def test_what_a_finalizer_swallows_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying:
        def __del__(self) -> None:
            interrupt("SIGHUP")

    monkeypatch.setattr("sys.unraisablehook", lambda _: None)  # Python prints it, and goes on
    dying = Dying()
    del dying
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="SIGHUP"):
            check()
    assert str(asked()) == "SIGHUP"


def test_other_threads_hold_nothing_back() -> None:
    def hold() -> None:
        with postponed(), pytest.raises(KeyboardInterrupt):
            interrupt("SIGINT")
        held.append(True)

    held: list[bool] = []
    thread = Thread(target=hold)
    thread.start()
    thread.join(10)
    assert held == [True]


def test_the_next_session_of_the_process_starts_without_it() -> None:
    with remembered():
        with pytest.raises(KeyboardInterrupt):
            interrupt("SIGINT")
        assert asked() is not None
    assert asked() is None
    check()
