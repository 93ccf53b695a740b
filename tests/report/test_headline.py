from support.saved_runs import cell

from energybench.records.record import RunRecord
from energybench.report.comparison import compare
from energybench.report.headline import headline
from energybench.report.sections import Section
from energybench.report.tables.compared import comparison_text
from energybench.report.tables.matrix_rows import result_table


def said(*records: RunRecord) -> str:
    return headline(Section("run", "a processor", records))


def test_one_model_names_each_method_best_first() -> None:
    records = [cell(epochs=5), cell("stego", joules=1100.0)]
    text = said(*records, cell("lowrank", joules=660.0, correct=90))
    assert text == (
        "On resnet18 lowrank took 34.0 % less energy beyond the tolerance and stego took 10.0 % "
        "more energy. One seed: there are no intervals, so nothing is concluded. No baseline was "
        "repeated, so the noise of a saving is not known."
    )


def test_a_few_seeds_conclude_nothing() -> None:
    records = [cell(seed=seed) for seed in range(3)]
    records += [cell("prune", seed, 500.0) for seed in range(3)]
    text = said(*records)
    assert text.startswith("On resnet18 prune took 50.0 % less energy (too few for an interval). ")
    assert "saves" not in text


def test_baselines_at_the_floor_are_told() -> None:
    """The published matrix: patience 3, and eight of nine baselines that stop after 4 epochs."""
    records = [cell(model=f"net{n}", epochs=4 + (n == 8)) for n in range(9)]
    records += [cell("prune", model=f"net{n}", joules=1850.0) for n in range(9)]
    assert (
        "8 of 9 baselines stopped after 4 epochs, the fewest that the protocol allows: there no "
        "method can save epochs, so this run neither confirms nor refutes such a saving."
    ) in said(*records)
    assert "fewest" not in said(cell(epochs=5), cell("prune"))


def test_a_difference_within_the_noise_floor_is_none_with_any_number_of_seeds() -> None:
    records = []
    for seed in range(5):
        records += [cell(seed=seed), cell("baseline-again", seed, 1000.0 + 20 * (seed - 2))]
        records += [cell("prune", seed, 980.0 + seed)]
    text = said(*records)
    assert text.startswith("On resnet18 prune shows no difference beyond the noise floor (±5 %).")
    assert "Noise floor of one pair of cells: ±12 % (the baseline was repeated 5 times)." in text


def test_intervals_and_no_remark_on_seeds_where_there_are_five() -> None:
    records = [cell(seed=seed, joules=1000.0 + seed) for seed in range(5)]
    records += [cell("prune", seed, 700.0 + 3 * seed) for seed in range(5)]
    text = said(*records)
    assert text.startswith("On resnet18 prune saves 29.5 % [2")
    assert "seeds:" not in text


def test_two_to_four_seeds_are_said_to_be_too_few_wherever_a_mean_is_shown() -> None:
    records = [cell(seed=seed) for seed in range(3)]
    records += [cell("prune", seed, 700.0, correct=98 - seed) for seed in range(3)]
    assert said(*records).startswith(
        "On resnet18 prune took 30.0 % less energy (too few for an interval) beyond the tolerance. "
        "3 seeds: there are no intervals, so nothing is concluded."
    )
    section = Section("run", "a processor", tuple(records))
    row = result_table(section).rows[1]
    assert "+30.0 % (too few for an interval)" in row
    assert "+1.00 pp (too few for an interval) ✗" in row
    compared = comparison_text(compare({"old": records, "new": records}))
    assert "1.000 (too few for an interval)" in compared
    assert "too few" not in comparison_text(compare({"old": records[:1], "new": records[:1]}))


def test_an_interval_with_both_signs_is_no_saving() -> None:
    records = [cell(seed=seed) for seed in range(5)]
    records += [cell("prune", seed, 700.0 + 150 * seed) for seed in range(5)]
    assert "On resnet18 prune shows no clear saving (" in said(*records)


def test_an_estimate_is_called_one() -> None:
    source = "codecarbon_estimate"
    text = said(cell(source=source), cell("stego", joules=900.0, source=source))
    assert "Energy is an estimate here, not a measurement." in text
    assert "estimate" not in said(cell(), cell("stego", joules=900.0))


def test_many_models_are_counted_and_a_broken_one_does_not_count() -> None:
    records = []
    for model, joules, correct in (("a", 900.0, 98), ("b", 500.0, 90), ("c", 1200.0, 98)):
        records += [cell(model=model), cell("prune", model=model, joules=joules, correct=correct)]
    assert said(*records).startswith(
        "Prune took less energy on 1 of 3 models within the tolerance (median of all +10 %)."
    )


def test_many_settings_are_summed_up() -> None:
    records = [cell()]
    for tolerance in (0.5, 1.0, 2.0, 5.0, 10.0):
        records += [cell("prune", joules=1000 - 50 * tolerance, tolerance=tolerance)]
        records += [cell("stego", joules=1000 + 10 * tolerance, tolerance=tolerance)]
    text = said(*records)
    assert text.startswith(
        "On resnet18 5 of 10 ways to compress took less energy: at best prune (tolerance=10.0) "
        "took 50.0 % less energy, at worst stego (tolerance=10.0) took 10.0 % more energy."
    )


def test_nothing_to_say() -> None:
    assert said(cell("stego")).startswith("No method here has a baseline")
    assert said(cell(), cell("stego", joules=None)).startswith("No method here has a baseline")
