"""The process that leads ranks, without any."""

from typing import Any

from support.saved_runs import cell

from energybench.config import Cell, RunConfig
from energybench.energy.machine import describe_machine
from energybench.records.record import Dataset
from energybench.runs.executors.base import Facts, Job, Outcome, Prepared
from energybench.runs.executors.local_ranks import LocalRanks
from energybench.runs.executors.processes import RankDied


class Dead:
    """Ranks that end during a job, after rank 0 has said `rescued`."""

    config = RunConfig()
    idle_watts: dict[str, float] = {}  # noqa: RUF012

    def __init__(self, rescued: Outcome | None) -> None:
        self._rescued = rescued

    def ask(self, order: Any) -> Any:
        if order.func.__name__ == "prepare":
            return [Prepared("resnet18", Dataset("digits", "f00"), "key")], {}
        raise RankDied("rank 1: killed by SIGKILL")

    def rescued(self) -> Outcome | None:
        return self._rescued

    def close(self) -> None: ...


def outcome(rescued: Outcome | None, method: str) -> Outcome:
    ranks: Any = Dead(rescued)
    facts = Facts(describe_machine(), "cpu", "a processor", 1, 1, nodes=(0, 0))
    executor = LocalRanks(ranks, facts)
    executor.prepare(["resnet18"])
    return executor.submit(Job(Cell("resnet18", method), RunConfig(), "key")).result()


def test_the_last_answer_of_rank_0_is_kept_if_it_is_of_the_job() -> None:
    found = outcome(Outcome(cell("baseline"), 1.0, broken=True), "baseline")
    assert (found.record.status, found.seconds, found.broken) == ("failed", 1.0, False)
    assert found.record.error == "rank 1: killed by SIGKILL"
    assert found.record.epochs


def test_the_last_answer_of_rank_0_of_another_job_is_not_the_jobs() -> None:
    for rescued in (Outcome(cell("baseline"), 1.0), None):
        found = outcome(rescued, "stego")
        assert (found.record.method, found.record.epochs, found.seconds) == ("stego", [], None)
        assert found.record.error == "rank 1: killed by SIGKILL"
        assert found.record.protocol.world_size == 2
