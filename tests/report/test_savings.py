import pytest
from support.saved_runs import cell, failed

from energybench.records.record import CompressionReport, RunRecord
from energybench.report.savings import Saving, savings

NOTHING = CompressionReport("stego", {}, 0.0, None, None, no_effect=True)


def only(records: list[RunRecord], method: str) -> Saving:
    (found,) = [one for one in savings(records) if one.method == method]
    return found


def test_a_method_is_paired_with_the_baseline_of_its_seed() -> None:
    records = [cell(seed=0, joules=1000.0), cell(seed=1, joules=100.0)]
    records += [cell("stego", 0, 500.0), cell("stego", 1, 25.0), cell("stego", 2, 1.0)]
    saving = only(records, "stego")
    assert len(saving.pairs) == 2
    assert saving.energy is not None
    assert saving.energy.value == pytest.approx((0.5 * 0.25) ** 0.5)
    assert saving.saved == pytest.approx(1 - (0.5 * 0.25) ** 0.5)
    assert saving.energy.low is None


def test_five_seeds_have_an_interval() -> None:
    records = [cell(seed=seed, joules=1000.0 + seed) for seed in range(5)]
    records += [cell("prune", seed, 700.0 + 10 * seed) for seed in range(5)]
    energy = only(records, "prune").energy
    assert energy is not None
    assert energy.low is not None
    assert energy.high is not None
    assert energy.low < energy.value < energy.high


def test_another_model_or_arithmetic_is_no_baseline() -> None:
    records = [cell(model="vgg16"), cell(precision="bf16"), cell("stego")]
    assert savings(records) == []
    assert savings([cell(), failed("stego")]) == []


def test_a_baseline_serves_every_tolerance_and_budget() -> None:
    records = [cell(), cell("stego", joules=900.0, tolerance=1.0)]
    records += [cell("stego", joules=500.0, tolerance=5.0)]
    records += [cell("stego", joules=800.0, budget="equal")]
    assert [one.saved for one in savings(records)] == pytest.approx([0.1, 0.5, 0.2])


def test_energies_read_in_different_ways_give_no_saving() -> None:
    saving = only([cell(source="rapl"), cell("stego", source="codecarbon_estimate")], "stego")
    assert saving.energy is None
    assert saving.saved is None
    assert saving.estimated
    assert only([cell(), cell("stego", joules=None)], "stego").energy is None


def test_the_search_is_counted_and_its_payback() -> None:
    saving = only([cell(joules=1000.0), cell("stego", joules=900.0, search_joules=450.0)], "stego")
    assert saving.with_search is not None
    assert saving.with_search.value == pytest.approx(1.35)
    assert saving.flags == ("search pays back after 5 fine-tunings",)
    cheap = only([cell(joules=1000.0), cell("stego", joules=900.0, search_joules=99.0)], "stego")
    assert cheap.flags == ()
    loses = only([cell(joules=1000.0), cell("stego", joules=1100.0, search_joules=99.0)], "stego")
    assert loses.flags == ()


def test_the_papers_signatures_of_failure_are_flagged() -> None:
    records = [
        cell(epochs=4),
        cell("prune", epochs=7, correct=90),
        cell("stego", compression=NOTHING),
    ]
    assert only(records, "prune").flags == ("1.8 x the baseline's epochs", "drop beyond tolerance")
    assert only(records, "stego").flags == ("nothing compressed within tolerance",)
    records = [
        cell(),
        cell(seed=1),
        cell("prune", epochs=6),
        cell("prune", 1, epochs=6, correct=90),
    ]
    assert only(records, "prune").flags == (
        "drop beyond tolerance in 1 of 2 seeds",
    )  # 1.5 x: not more


def test_a_saving_that_is_the_arithmetics_is_named_so() -> None:
    records = [cell(), cell("stego", joules=610.0), cell("baseline-bf16", joules=600.0)]
    records += [cell("baseline-tf32", joules=800.0), cell("lowrank", joules=300.0)]
    stego, lowrank = only(records, "stego"), only(records, "lowrank")
    assert stego.control == lowrank.control == "baseline-bf16"
    assert stego.against_control is not None
    assert stego.against_control.value == pytest.approx(610 / 600)
    assert stego.flags == ("the arithmetic's saving: baseline-bf16 saves as much",)
    assert lowrank.flags == ()
    assert stego.control_factors is not None
    assert stego.control_factors.ratios["watts"] == pytest.approx(610 / 600)
    control = only(records, "baseline-bf16")
    assert control.control is None
    assert control.flags == ()


@pytest.mark.parametrize(
    "control",
    [
        cell("baseline-bf16", joules=600.0, correct=90),  # not accurate enough
        cell("baseline-bf16", joules=1100.0),  # saves nothing
        cell("baseline-bf16", joules=600.0, source="codecarbon_estimate"),
    ],
)
def test_what_is_no_control(control: RunRecord) -> None:
    saving = only([cell(), cell("stego", joules=610.0), control], "stego")
    assert saving.control is None
    assert saving.control_factors is None
    assert saving.flags == ()
