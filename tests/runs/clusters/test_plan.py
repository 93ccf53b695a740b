import heapq
import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.plans import plan

from energybench.config import Cell, RunConfig
from energybench.errors import UsageError
from energybench.runs.clusters.inputs import config_of
from energybench.runs.clusters.plan import Block, RunFolder, blocks_of, longest_first
from energybench.runs.clusters.slurm import parsed_options, ranges


def test_a_block_has_the_cells_of_one_model_and_seed_in_their_order() -> None:
    cells = [Cell(model, method, seed) for model in "ab" for seed in (0, 1) for method in "yx"]
    blocks = blocks_of(cells)
    assert [(one.model, one.seed) for one in blocks] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert {one.methods for one in blocks} == {("y", "x")}
    assert [cell for one in blocks for cell in one.cells] == cells


def test_every_block_runs_on_every_kind() -> None:
    found = plan(kinds=("h100", "a100"))
    assert [(task.number, task.kind, task.block.seed) for task in found.tasks] == [
        (0, "h100", 0),
        (1, "h100", 1),
        (2, "a100", 0),
        (3, "a100", 1),
    ]
    assert found.task(3).name == "0003-a100-tiny-seed1"
    assert [task.number for task in found.of_kind("a100")] == [2, 3]
    with pytest.raises(UsageError, match="name one of h100, a100"):
        found.of_kind(None)
    with pytest.raises(UsageError, match=r"no kind 't4'; it has h100, a100"):
        found.of_kind("t4")
    with pytest.raises(UsageError, match="no block 4; it has 0 to 3"):
        found.task(4)


def test_a_model_in_a_folder_gives_a_name_of_one_file() -> None:
    found = plan(blocks=(Block("hf:/models/gpt2", 0, ("baseline",)),))
    assert found.tasks[0].name == "0000-hf__models_gpt2-seed0"


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder, written = RunFolder(tmp_path / "run"), plan(kinds=("h100",))
    folder.write(written)
    assert folder.plan() == written
    assert config_of(written) == RunConfig()


def test_another_plan_than_this_energybenchs_is_one_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(UsageError, match=r"there is no .*plan\.json here; name the folder"):
        folder.plan()
    folder.write(replace(plan(), energybench="9.0"))
    with pytest.raises(UsageError, match=r"made by energybench 9\.0, and this is"):
        folder.plan()
    newer = json.dumps(asdict(plan()) | {"schema_version": 2})
    for text, says in (("{", "cannot read"), ("[]", "no schema_version"), (newer, "version 2")):
        folder.plan_path.write_text(text)
        with pytest.raises(UsageError, match=says):
            folder.plan()


def makespan(seconds: list[float], nodes: int) -> float:
    """When the last block ends if each node takes the next one as soon as it is free."""
    free = [0.0] * nodes
    for duration in seconds:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def test_ten_thousand_cells_on_200_nodes_end_within_5_percent_of_the_lower_bound() -> None:
    chance = random.Random(3)
    sizes = {f"model{number}": chance.paretovariate(1.5) * 1e7 for number in range(100)}
    blocks = [Block(model, seed, tuple("abcde")) for model in sizes for seed in range(20)]
    seconds = {
        (one.model, one.seed): sizes[one.model] * 1e-5 * chance.uniform(0.8, 1.25) for one in blocks
    }
    longest = [seconds[one.model, one.seed] for one in longest_first(blocks, sizes)]
    bound = max(*longest, sum(longest) / 200)
    assert makespan(longest, 200) <= 1.05 * bound
    assert makespan(longest, 200) < makespan([seconds[one.model, one.seed] for one in blocks], 200)


def test_a_model_without_a_size_comes_last() -> None:
    blocks = [Block("unknown", 0, ("a",)), Block("small", 0, ("a",)), Block("large", 0, ("a",))]
    found = longest_first(blocks, {"small": 1.0, "large": 2.0})
    assert [one.model for one in found] == ["large", "small", "unknown"]


@pytest.mark.parametrize(
    ("indices", "text"), [([3], "3"), ([0, 1, 2, 5], "0-2,5"), ([7, 4, 8], "4,7-8"), ([], "")]
)
def test_ranges_of_indices(indices: list[int], text: str) -> None:
    assert ranges(indices) == text


def test_options_of_sbatch() -> None:
    found = parsed_options('partition=gpu "comment=two words" --gres=gpu:1 hold')
    assert found == ["--partition=gpu", "--comment=two words", "--gres=gpu:1", "--hold"]
    for text, says in (
        ("nodes=2", "nodes is set by energybench; leave it out"),
        ("constraint=h100", "use --kinds"),
        ('a="', "No closing quotation"),
    ):
        with pytest.raises(UsageError, match=says):
            parsed_options(text)
