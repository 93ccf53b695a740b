import pytest

from energybench.config import Cell
from energybench.errors import UsageError
from energybench.registry import is_repeat
from energybench.runs.matrix import cells, check_names, with_floor, with_tolerances

METHODS = ("stego", "baseline", "prune", "lowrank", "lowrank+stego")


def test_blocks_are_shuffled_by_seed_the_baseline_too() -> None:
    matrix = cells(["resnet18", "vgg16"], METHODS, seeds=4)
    assert len(matrix) == len(set(matrix)) == 2 * 5 * 4
    blocks = [matrix[i : i + 5] for i in range(0, len(matrix), 5)]
    assert all(len({(cell.model, cell.seed) for cell in block}) == 1 for block in blocks)
    places = {[cell.method for cell in block].index("baseline") for block in blocks}
    assert len(places) > 2, "the baseline must not always run first, cold"
    assert len({tuple(cell.method for cell in block) for block in blocks}) > 1
    assert matrix == cells(["resnet18", "vgg16"], METHODS, seeds=4)


def test_ids() -> None:
    assert str(Cell("resnet18", "lowrank+stego", 2)) == "resnet18-lowrank+stego-seed2"


def test_a_floor_replaces_the_repeated_baselines_of_the_mark() -> None:
    marked = ("baseline", "baseline-again", "stego")
    assert with_floor(marked, None) == ["baseline", "baseline-again", "stego"]
    assert with_floor(marked, 0) == ["baseline", "stego"]
    many = ["baseline-again", "baseline-again-2", "baseline-again-3"]
    assert with_floor(marked, 3) == ["baseline", "stego", *many]
    check_names(["resnet18"], many)
    assert [is_repeat(one) for one in (*many, "baseline", "baseline-bf16")] == 3 * [True] + [
        False,
        False,
    ]
    for composed in ("lowrank+baseline-again", "baseline-again-2+stego"):
        with pytest.raises(UsageError, match=r"composes with baseline-again.*, which does nothing"):
            check_names(["resnet18"], [composed])


def test_a_repeated_baseline_is_listed_once_as_the_baseline_is() -> None:
    matrix = [Cell("resnet18", method) for method in ("stego", "baseline-again", "baseline")]
    tolerances = [tolerance for _, tolerance in with_tolerances(matrix, [1.0, 2.0])]
    assert tolerances == [1.0, 2.0, None, None]


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match="resnet19"):
        check_names(["resnet19"], METHODS)
    with pytest.raises(UsageError, match="proon"):
        check_names(["resnet18"], ["proon"])
