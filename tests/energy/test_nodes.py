"""Readings of several ranks become one, by layout: nothing lost, nothing twice."""

import pytest

from energybench.energy.meters.base import Meter
from energybench.energy.nodes import global_names, over_nodes
from energybench.energy.readings import EnergyReading
from energybench.energy.windows import MeterSet


class Gpus(Meter):
    """Each GPU its own joules per read; one CPU package beside them."""

    min_window_s = 0.0

    def __init__(self, node: int, gpus: int) -> None:
        first = node * gpus
        self._per_read = {f"gpu:uuid{first + i}": 100.0 + first + i for i in range(gpus)}
        self._per_read["cpu:0"] = 10.0 + node
        self._reads = 0

    def domains(self) -> dict[str, str]:
        return dict.fromkeys(self._per_read, "replay")

    def read_joules(self) -> dict[str, float]:
        self._reads += 1
        return {domain: joules * self._reads for domain, joules in self._per_read.items()}

    def close(self) -> None:
        pass


def readings(
    nodes: int, gpus: int, everyone_reads: bool
) -> tuple[dict[int, EnergyReading], list[int]]:
    """One rank per GPU; the first of each node reads its meters, or every rank does."""
    found = {}
    for rank in range(nodes * gpus):
        node, local_rank = divmod(rank, gpus)
        reads = everyone_reads or local_rank == 0
        meters = MeterSet({"gpus": Gpus(node, gpus)} if reads else {})
        with meters.window() as window:
            pass
        found[rank] = window.reading
    return found, [rank // gpus for rank in range(nodes * gpus)]


@pytest.mark.parametrize("everyone_reads", [False, True])
@pytest.mark.parametrize(("nodes", "gpus"), [(1, 2), (2, 1), (2, 4)])
def test_every_gpu_and_package_counts_once(nodes: int, gpus: int, everyone_reads: bool) -> None:
    by_rank, places = readings(nodes, gpus, everyone_reads)
    whole = over_nodes(by_rank, places)
    expected = {f"gpu:uuid{i}": 100.0 + i for i in range(nodes * gpus)}
    for node in range(nodes):
        expected["cpu:0" if nodes == 1 else f"cpu:0@node{node}"] = 10.0 + node
    assert whole.joules == expected
    assert whole.it_joules == sum(expected.values())
    assert set(whole.sources) == set(expected)
    assert whole.duration_s == max(one.duration_s for one in by_rank.values())


def test_one_machine_that_nobody_reads_makes_the_sum_unknown() -> None:
    by_rank, places = readings(2, 1, everyone_reads=False)
    del by_rank[1]
    whole = over_nodes(by_rank, places)
    assert whole.it_joules is None
    assert whole.joules["gpu:uuid0"] == 100.0
    assert "node1" in " ".join(whole.unavailable)
    at_the_board = EnergyReading(1.0, {"wall:bmc": 5.0, "cpu:0": 3.0}, {})
    assert over_nodes({0: at_the_board}, [0, 1]).it_joules is None
    assert over_nodes({0: at_the_board, 1: at_the_board}, [0, 1]).it_joules == 10.0


def test_a_domain_that_fails_on_one_machine_makes_the_sum_unknown_with_its_reason() -> None:
    good = EnergyReading(1.0, {"cpu:0": 5.0}, {"cpu:0": "rapl"}, net_joules={"cpu:0": 4.0})
    bad = EnergyReading(2.0, {"cpu:0": None}, {}, unavailable={"cpu:0": "it broke"})
    whole = over_nodes({0: good, 1: bad}, [0, 1])
    assert whole.it_joules is None
    assert whole.unavailable == {"cpu:0@node1": "it broke"}
    assert whole.duration_s == 2.0
    assert whole.net_joules == {"cpu:0@node0": 4.0}


def test_one_process_alone_reads_what_it_read() -> None:
    reading = EnergyReading(
        1.5, {"cpu:0": 5.0}, {"cpu:0": "rapl"}, ["short_window"], {"nvml": "no GPU in use"}
    )
    assert over_nodes({0: reading}, [0]) == reading


def test_names_of_sources_are_those_of_readings() -> None:
    sources = [{"cpu:0": "rapl", "gpu:a": "nvml_counter"}, {"cpu:0": "rapl"}]
    assert global_names(sources, [0, 1]) == {
        "cpu:0@node0": "rapl",
        "gpu:a": "nvml_counter",
        "cpu:0@node1": "rapl",
    }
