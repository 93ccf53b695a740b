from hypothesis import given
from hypothesis import strategies as st

from energybench.compression.search import largest


@given(count=st.integers(0, 200), edge=st.integers(0, 200))
def test_exact_when_monotone(count: int, edge: int) -> None:
    found = largest(count, lambda index: index < edge, budget=12)
    assert found == (min(count, edge) - 1 if count and edge else None)


@given(verdicts=st.lists(st.booleans(), max_size=60), budget=st.integers(0, 12))
def test_any_curve(verdicts: list[bool], budget: int) -> None:
    asked: list[int] = []

    def accepts(index: int) -> bool:
        asked.append(index)
        return verdicts[index]

    found = largest(len(verdicts), accepts, budget)
    assert len(asked) <= budget
    assert len(set(asked)) == len(asked)
    accepted = [index for index in asked if verdicts[index]]
    assert found == (max(accepted) if accepted else None)


def test_neighbours_of_the_boundary_are_tried() -> None:
    dip = {17}  # refused, although 18 and 19 are accepted
    assert largest(31, lambda index: index <= 19 and index not in dip, budget=8) == 19
