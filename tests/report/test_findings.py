"""The sentences on the studies, on numbers like those of the published runs."""

from support.answers import generation, images
from support.saved_runs import cell

from energybench.records.record import CompressionReport, RunRecord
from energybench.records.studies import Study
from energybench.report.findings import finding
from energybench.report.sections import Section

NOISE = (1.00, 0.97, 1.02, 1.05, 0.99)


def said(name: str, records: list[RunRecord]) -> str:
    return finding(name, Section("run", "a processor", tuple(records)))


def lowrank(rate: float, tolerance: float, joules: float, spread: float = 1.0) -> list[RunRecord]:
    """Five cells of one tolerance, whose search found one setting."""
    report = CompressionReport("lowrank", {"fraction": rate}, rate, None, None)
    return [
        cell(
            "lowrank", seed, joules * NOISE[seed] ** spread, tolerance=tolerance, compression=report
        )
        for seed in range(5)
    ]


def baselines() -> list[RunRecord]:
    return [cell(seed=seed, joules=1000.0 + seed) for seed in range(5)]


def test_tolerances_with_one_setting_are_one_experiment() -> None:
    records = baselines()
    for tolerance, rate, joules in ((0.5, 0.89, 640), (1, 0.89, 600)):
        records += lowrank(rate, tolerance, joules)
    for tolerance, joules in ((2.0, 700), (5.0, 720), (10.0, 610)):
        records += lowrank(0.90, tolerance, joules)
    text = said("tolerance", records)
    assert "0.5 and 1 points are one experiment, run 2 times" in text
    assert "2, 5 and 10 points are one experiment, run 3 times" in text
    same = baselines() + lowrank(0.9, 1.0, 600) + lowrank(0.9, 5.0, 700)
    assert said("tolerance", same) == (
        "resnet18 lowrank: 1 and 5 points are one experiment, run 2 times, because the search "
        "found the same setting. resnet18 lowrank: a larger tolerance changed nothing."
    )


def test_the_largest_tolerance_is_compared_with_the_least_seed_by_seed() -> None:
    clear = baselines() + lowrank(0.5, 1.0, 800) + lowrank(0.9, 5.0, 400, spread=1.1)
    assert "resnet18 lowrank: 5 points against 1 points: saves 5" in said("tolerance", clear)
    noisy = baselines() + lowrank(0.5, 1.0, 800) + lowrank(0.9, 5.0, 790, spread=-3.0)
    assert "5 points against 1 points: no difference shown (+" in said("tolerance", noisy)


def test_a_combination_is_compared_with_the_best_single_method_seed_by_seed() -> None:
    """Wide intervals that overlap: no sentence says that one of them saves more."""
    records = baselines()
    for seed in range(5):
        records.append(cell("lowrank", seed, 603.0 * NOISE[seed]))
        records.append(cell("prune", seed, 1300.0))
        records.append(cell("lowrank+stego", seed, 603.0 * (1.05, 0.9, 1.1, 5.0, 0.98)[seed]))
    text = said("compositions", records)
    assert text.startswith("resnet18: the best single method, lowrank, saves 39.")
    assert "the best combination, lowrank+stego, against it: no difference shown (-" in text
    assert "saves more" not in text


def test_a_combination_that_saves_more_on_every_seed_is_said_to() -> None:
    records = baselines()
    for seed in range(5):
        records.append(cell("lowrank", seed, 600.0 * NOISE[seed]))
        records.append(cell("lowrank+stego", seed, 300.0 * NOISE[seed] ** 1.1))
    text = said("compositions", records)
    assert "lowrank+stego, against it: saves 50." in text or "against it: saves 49." in text


def test_one_seed_shows_no_difference_between_methods() -> None:
    records = [cell(), cell("lowrank", joules=600.0), cell("lowrank+stego", joules=300.0)]
    assert "against it: no difference shown (+50.0 %, one seed)." in said("compositions", records)


def test_no_saving_is_stated_of_an_interval_that_holds_zero() -> None:
    records = baselines()
    for seed in range(5):
        records.append(cell("prune", seed, 900.0 + 150 * (seed - 1), budget="equal"))
    text = said("budget", records)
    assert "shows no clear saving (" in text
    assert "saves" not in text


def said_of(name: str, *studies: Study) -> str:
    return finding(name, Section("run", "a processor", (), studies=studies))


def test_answers_to_images_are_compared_seed_by_seed_in_one_sentence() -> None:
    """Prune's joules follow the baseline's in every seed, half of them."""
    found: list[Study] = []
    for seed, near in enumerate(NOISE):
        found.append(images("baseline", seed, {1: 8.0 * near, 8: 2.0, 64: 1.0}))
        found.append(images("prune", seed, {1: 4.0 * near, 8: 1.0, 64: None}))
    assert said_of("inference", *found) == (
        "resnet18 prune [fp32] takes 50 % less energy than the baseline [-50.0 %, -50.0 %] at "
        "batch 1 and an unknown energy at batch 64."
    )


def test_tokens_that_take_no_clearly_different_energy_are_said_to() -> None:
    found: list[Study] = []
    for seed, near in enumerate(NOISE):
        found.append(generation("baseline", seed, {4: 1.0}))
        found.append(generation("lora", seed, {4: 1.0}, prefill=10.0 * near, decode=30.0 * near))
    assert said_of("generation", *found) == (
        "gpt2-tiny lora [fp32] against the baseline, per token: prefill shows no clear difference "
        "[-3.1 %, +4.4 %] and decoding takes 51 % more energy [+45.3 %, +56.6 %] at batch 4."
    )
