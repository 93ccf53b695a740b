from typing import Any

import pytest
from support.saved_runs import cell

from energybench.energy.readings import EnergyReading
from energybench.records.record import RunRecord
from energybench.report.boards import board_lines
from energybench.report.comparison import machine_groups
from energybench.report.savings import savings

KIND = {"cpu": "a processor", "logical_cores": 64, "ram_gib": 512}


def on(board: str, method: str = "baseline", seed: int = 0, joules: float = 1000.0) -> RunRecord:
    """A cell on one of the H100s of a cluster."""
    gpu = {"id": board, "name": "H100", "power_limit_w": 700, "memory_gib": 80}
    domain = f"gpu:{board}"
    readings = {"finetune": EnergyReading(10.0, {domain: joules}, {domain: "nvml_counter"})}
    changes: dict[str, Any] = {"phases": readings, "reference_id": None}
    machine = KIND | {"gpus": [gpu]}
    return cell(method, seed, device="cuda", device_name="H100", machine=machine, changes=changes)


def test_gpus_of_one_kind_are_one_machine_unless_they_measured_the_same() -> None:
    apart = [on("a", seed=0), on("a", "stego", seed=0), on("b", seed=1), on("b", "stego", seed=1)]
    assert list(machine_groups(apart)) == ["H100"]
    twice = machine_groups([*apart, on("b", seed=0)])
    assert len(twice) == 2
    assert all("H100 (gpu:" in name for name in twice)


def test_gpus_of_other_power_limits_are_another_kind() -> None:
    slower = on("b", seed=1)
    slower.machine["gpus"][0]["power_limit_w"] = 350
    assert len(machine_groups([on("a"), slower])) == 2


def test_a_saving_needs_one_gpu() -> None:
    (found,) = savings(
        [on("a"), on("a", "stego", joules=500.0), on("b", seed=1), on("c", "stego", seed=1)]
    )
    assert found.saved == pytest.approx(0.5)
    assert len(found.pairs) == 1


def test_the_spread_of_gpus_and_cells_without_a_saving_are_told() -> None:
    base, other = on("a"), on("b", seed=1, joules=1100.0)
    moved = cell("stego", 0, changes={"reference_id": base.id})
    spread, lost = board_lines([base, other, moved])
    assert spread == (
        "2 GPUs of this kind: their energy per item differs by 9.5 % in the mean, by 9.5 % at "
        "most, over 1 rows of equal cells"
    )
    assert lost == "no saving of resnet18 stego seed 0: the baseline ran on another GPU"
    assert board_lines([base, cell("stego")]) == []
