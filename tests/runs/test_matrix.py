import pytest

from energybench.config import Cell
from energybench.errors import UsageError
from energybench.runs.matrix import cells, check_names

METHODS = ("stego", "baseline", "prune", "lowrank", "lowrank+stego")


def test_blocks_start_with_the_baseline_and_are_shuffled_by_seed() -> None:
    matrix = cells(["resnet18", "vgg16"], METHODS, seeds=4)
    assert len(matrix) == len(set(matrix)) == 2 * 5 * 4
    blocks = [matrix[i : i + 5] for i in range(0, len(matrix), 5)]
    assert all(len({(cell.model, cell.seed) for cell in block}) == 1 for block in blocks)
    assert all(block[0].method == "baseline" for block in blocks)
    assert len({tuple(cell.method for cell in block) for block in blocks}) > 1
    assert matrix == cells(["resnet18", "vgg16"], METHODS, seeds=4)


def test_ids() -> None:
    assert str(Cell("resnet18", "lowrank+stego", 2)) == "resnet18-lowrank+stego-seed2"


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match="resnet19"):
        check_names(["resnet19"], METHODS)
    with pytest.raises(UsageError, match="proon"):
        check_names(["resnet18"], ["proon"])
