import csv
import io
import json
from dataclasses import replace

import pytest
from support.saved_runs import DATASET, cell, failed

from energybench.records.record import RunRecord, Weights
from energybench.report.comparison import Comparison, compare, machine_groups
from energybench.report.tables.compared import comparison_text, why_text


def run(joules: float = 1000.0, seeds: int = 1, **changes: object) -> list[RunRecord]:
    """A baseline and stego, which saves 40 %, on every seed."""
    return [
        cell(method, seed, joules * share * (1 + seed / 100), **changes)  # type: ignore[arg-type]
        for seed in range(seeds)
        for method, share in (("baseline", 1.0), ("stego", 0.6))
    ]


def ratios(found: Comparison, name: str) -> dict[str, float | None]:
    return {
        row.key.method: column.ratio.value if (column := row.columns[name]).ratio else None
        for row in found.rows
    }


def test_the_same_cells_are_lined_up() -> None:
    found = compare({"old": run(1000.0), "new": run(900.0)})
    assert [row.key.method for row in found.rows] == ["baseline", "stego"]
    assert ratios(found, "new") == pytest.approx({"baseline": 0.9, "stego": 0.9})
    assert ratios(found, "old") == {"baseline": None, "stego": None}
    stego = found.rows[1].columns["new"]
    assert stego.saving is not None
    assert stego.saving.saved == pytest.approx(0.4)
    assert stego.means["kwh"] == pytest.approx(540 / 3.6e6)
    assert stego.means["watts"] == pytest.approx(54.0)
    assert found.notes == ()


def test_five_common_seeds_have_an_interval_and_only_they_count() -> None:
    found = compare({"old": run(seeds=7), "new": run(900.0, seeds=5)})
    column = found.rows[0].columns["new"]
    assert column.ratio is not None
    assert column.ratio.pairs == 5
    assert column.ratio.low is not None
    assert len(found.rows[0].columns["old"].records) == 5
    (note,) = found.notes
    assert note == (
        "only in old: resnet18 baseline seed 5, resnet18 baseline seed 6, "
        "resnet18 stego seed 5, resnet18 stego seed 6"
    )


def test_the_machine_may_differ_and_nothing_else() -> None:
    other = run(device="cuda", device_name="NVIDIA H100", threads=16)
    assert len(compare({"a": run(), "b": other}).rows) == 2
    found = compare({"a": run(), "b": run(max_epochs=3)})
    assert found.rows == ()
    assert not found.comparable
    (note,) = found.notes
    assert note.startswith("not compared, a / b differ in max_epochs 50 / 3: resnet18 baseline")


@pytest.mark.parametrize(
    ("unlike", "reason"),
    [
        ({"dataset": replace(DATASET, fingerprint="f01")}, "fingerprint"),
        ({"dataset": replace(DATASET, details={"image_size": 64})}, "image_size"),
        ({"dataset": replace(DATASET, details={"languages": ["de"]})}, 'languages None / ["de"]'),
        ({"weights": Weights("torchvision")}, "weights digits pretraining / torchvision"),
        ({"precision": "bf16"}, "precision fp32 / bf16"),
        ({"pue": 1.58}, "pue 1.0 / 1.58"),
    ],
)
def test_what_does_not_match_is_said(unlike: dict[str, object], reason: str) -> None:
    found = compare({"a": run(), "b": run(**unlike)})  # type: ignore[arg-type]
    assert found.rows == ()
    assert reason in found.notes[0]


def test_across_lets_a_part_of_the_protocol_differ() -> None:
    found = compare({"a": run(), "b": run(500.0, precision="bf16")}, across=["precision"])
    assert ratios(found, "b") == pytest.approx({"baseline": 0.5, "stego": 0.5})


def test_a_checkpoint_is_the_same_in_another_folder() -> None:
    here, there = (Weights(f"/{place}/resnet18.pth", "k") for place in ("x", "y/z"))
    found = compare({"a": run(weights=here), "b": run(weights=there)})
    assert len(found.rows) == 2
    assert found.notes == ()


def test_separately_pretrained_weights_are_named() -> None:
    found = compare({"a": run(), "b": run(weights=Weights("digits pretraining", "k01"))})
    assert found.notes == ("a and b started from separately pretrained weights: resnet18",)


def test_measurements_are_not_compared_with_estimates() -> None:
    found = compare({"a": run(), "b": run(source="codecarbon_estimate")})
    assert ratios(found, "b") == {"baseline": None, "stego": None}
    assert found.notes == (
        "energy not compared in 2 rows: read by rapl in the first run, by codecarbon_estimate in b",
    )


def test_failures_and_repetitions_are_named_and_the_last_counts() -> None:
    found = compare({"a": [*run(), failed("prune")], "b": [*run(900.0), *run(800.0)]})
    assert ratios(found, "b")["baseline"] == pytest.approx(0.8)
    assert found.notes == (
        "failed in a: resnet18 prune seed 0: the loss is not finite",
        "measured more than once in b, the last counts: resnet18 baseline seed 0, "
        "resnet18 stego seed 0",
    )


def test_settings_within_a_run_are_rows_of_their_own() -> None:
    loose = cell("stego", joules=300.0, tolerance=5.0)
    found = compare({"a": [*run(), loose]})
    assert [(row.key.method, row.label) for row in found.rows] == [
        ("baseline", ""),
        ("stego", "tolerance=1.0"),
        ("stego", "tolerance=5.0"),
    ]
    assert [row.columns["a"].saving and row.columns["a"].saving.saved for row in found.rows] == [
        None,
        pytest.approx(0.4),
        pytest.approx(0.7),
    ]


def test_by_machine() -> None:
    board, cpu = "NVIDIA H100", "a processor"
    on_gpu = cell(device="cuda", device_name=board, machine={"cpu": "x", "ram_gib": 8})
    groups = machine_groups([cell(), on_gpu, cell("stego")])
    assert {name: len(found) for name, found in groups.items()} == {cpu: 2, board: 1}
    larger = cell(device_name=board, machine={"cpu": "x", "logical_cores": 64, "ram_gib": 512})
    first, second = machine_groups([on_gpu, larger])
    assert first != second
    assert board in first
    assert board in second


def test_boards_within_sensor_error_say_so() -> None:
    found = compare({"A100": run(1000.0), "H100": run(930.0), "T4": run(1500.0)})
    text = comparison_text(found, boards=True)
    assert text.count("within sensor error") == 2
    assert "1.500" in text
    assert "within sensor error" not in comparison_text(found)


def test_the_table_names_runs_and_notes() -> None:
    found = compare({"old": run(), "new": [*run(900.0), cell("prune")]})
    text = comparison_text(found)
    assert "A: old\nB: new\nratio: energy over A's\n" in text
    assert "only in new: resnet18 prune seed 0" in text
    assert "| resnet18 | stego" in comparison_text(found, "markdown")
    assert "no cell is in more than one run" in comparison_text(compare({"a": run(), "b": []}))


def test_csv_and_json_hold_the_numbers_in_full() -> None:
    found = compare({"old": run(seeds=5), "new, or so": run(900.0, seeds=5)})
    lines = list(csv.DictReader(io.StringIO(comparison_text(found, "csv"))))
    assert [(line["method"], line["run"]) for line in lines] == [
        ("baseline", "old"),
        ("baseline", "new, or so"),
        ("stego", "old"),
        ("stego", "new, or so"),
    ]
    ratio = found.rows[1].columns["new, or so"].ratio
    assert ratio is not None
    assert float(lines[3]["ratio"]) == ratio.value
    assert float(lines[3]["ratio_low"]) == ratio.low
    assert float(lines[3]["ratio_to_baseline"]) == pytest.approx(0.6)
    assert lines[0]["ratio"] == ""
    data = json.loads(comparison_text(found, "json"))
    assert data["runs"] == ["old", "new, or so"]
    assert data["rows"][1]["runs"]["new, or so"]["ratio"]["value"] == ratio.value
    assert data["rows"][1]["runs"]["old"]["ratio"] is None
    assert data["rows"][0]["setting"]["max_epochs"] == 50


def test_why_names_each_factor() -> None:
    records = [cell(joules=1000.0, epochs=4), cell("prune", joules=2000.0, seconds=20.0, epochs=8)]
    text = why_text(compare({"a": records}))
    (line,) = [line for line in text.splitlines() if "prune" in line]
    assert line.split()[:4] == ["resnet18", "prune", "baseline", "2.000"]
    assert "2.00 (100 %)" in line
    assert line.count("1.00 (0 %)") == 3
    assert "2.0 x the baseline's epochs" in line


def test_why_goes_against_the_control_and_the_other_run_too() -> None:
    records = [cell(), cell("stego", joules=610.0), cell("baseline-bf16", joules=600.0)]
    text = why_text(compare({"a": records, "b": records}))
    over = [line.split()[3] for line in text.splitlines() if line.split()[2:3] == ["stego"]]
    assert over == ["baseline", "baseline-bf16", "baseline", "baseline-bf16", "a"]


def test_why_of_nothing() -> None:
    assert "nothing to explain" in why_text(compare({"a": [cell()]}))
