import pytest

from energybench.energy.coverage import counted, covers, kind_of, total
from energybench.energy.readings import EnergyReading


def test_the_kind_is_the_word_before_the_colon() -> None:
    assert [kind_of(name) for name in ("cpu:0", "wall:plug@node1", "odd")] == ["cpu", "wall", "odd"]


def test_the_whole_machine_alone_is_the_total() -> None:
    parts: dict[str, float | None] = {"cpu:0": 3.0, "gpu:1": 4.0}
    assert total(parts) == 7.0
    assert total(parts | {"wall:plug": 11.0}) == 11.0
    assert counted([*parts, "wall:plug"]) == ["wall:plug"]


def test_what_is_missing_makes_no_total() -> None:
    assert total({}) is None
    assert total({"cpu:0": 3.0, "gpu:1": None}) is None
    assert total({"cpu:0": 3.0, "wall:plug": None}) is None
    assert total({"cpu:0": None, "wall:plug": 2.0}) == 2.0


def test_every_domain_is_in_words() -> None:
    assert covers("wall:plug") == "the whole machine"
    assert covers("fans:0") == "the kind fans"


@pytest.mark.parametrize(("wall", "net"), [(10.0, 8.0), (None, None)])
def test_a_reading_with_the_whole_machine(wall: float | None, net: float | None) -> None:
    reading = EnergyReading(
        2.0, {"cpu:0": 3.0, "wall:plug": wall}, {}, net_joules={"cpu:0": 1.0, "wall:plug": net}
    )
    assert reading.it_joules == wall
    assert reading.net_it_joules == net
