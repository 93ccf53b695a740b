"""Ranks as processes of our own."""

from support.listening_ranks import listens

from energybench.runs.executors.processes import LOOPBACK, Workers


def test_no_rank_of_this_machine_listens_to_another() -> None:
    workers = Workers("support.listening_ranks", 2)
    try:
        found = [listens(), *workers.ask("listen")]
    finally:
        workers.close()
    assert len(found) == 3
    assert {address for each in found for address in each} == {LOOPBACK}
