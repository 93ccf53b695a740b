"""Verdicts on the paper's claims, on runs whose truth is known."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.saved_runs import cell

from energybench.records.record import CompressionReport, RunRecord
from energybench.records.saved import Run
from energybench.report.page import markdown
from energybench.report.paper import (
    CANNOT,
    NOT,
    REPRODUCED,
    UNDECIDED,
    Judgement,
    judgements,
    paper,
)
from energybench.report.savings import savings

SIX = ("resnet50", "resnet101", "inception_v3", "densenet121", "vgg16", "convnext_base")
NINE = ("alexnet", "resnet18", "resnet34", *SIX)
BITS = "over 50 %"
TIME = "halves the training time"
DROP = "at most 1 point"
PRUNING = "Pruning saves nothing"


def report(method: str, rate: float, **settings: float) -> CompressionReport:
    return CompressionReport(method, dict(settings), rate, None, None)


def run(
    method: str = "stego-once",
    epochs: int | dict[str, int] = 6,
    *,
    models: tuple[str, ...] = NINE,
    seeds: int = 5,
    base_epochs: int = 16,
    noise: float = 0.03,
    correct: float = 98,
    ours: Mapping[str, object] | None = None,
    **both: object,
) -> list[RunRecord]:
    """Cells whose energy and time are their epochs, with some noise; fields of `ours` change one.

    A baseline trains for `base_epochs`, the method for `epochs`, by model or everywhere.
    """
    rng = np.random.default_rng(16)
    records = []
    for model in models:
        for seed in range(seeds):
            for name in ("baseline", method):
                own = epochs if isinstance(epochs, int) else epochs[model]
                count = base_epochs if name == "baseline" else own
                work = count * math.exp(rng.normal(0.0, noise))
                fields: dict[str, object] = {"joules": 100.0 * work, "seconds": work} | both
                fields |= {} if name == "baseline" else {"correct": correct, **(ours or {})}
                records.append(cell(name, seed, model=model, epochs=count, **fields))  # type: ignore[arg-type]
    return records


def judged(records: list[RunRecord], text: str) -> Judgement:
    (found,) = [one for one in judgements(savings(records)) if text in one.claim.text]
    return found


def test_nothing_is_claimed_of_an_empty_run() -> None:
    found = judgements([])
    assert {one.verdict for one in found} == {CANNOT}
    assert found[0].reason == "stego-once was not run"
    assert found[-1].reason == "no method was run"
    assert len(found) == len(paper().claims) == 10


def test_a_run_in_which_the_epochs_are_halved_reproduces_it() -> None:
    records = run(ours={"compression": report("stego-once", 0.75, bits=24)})
    assert judged(records, BITS).verdict == REPRODUCED
    assert judged(records, BITS).reason == "holds on 9 of 9, refuted on 0"
    for text in (TIME, DROP, "8 of its 32 bits"):
        assert judged(records, text).verdict == REPRODUCED


@pytest.mark.parametrize(
    ("saving_on", "verdict"), [(6, REPRODUCED), (5, NOT), (0, NOT), (9, REPRODUCED)]
)
def test_six_of_nine_are_counted(saving_on: int, verdict: str) -> None:
    epochs = {model: 6 if place < saving_on else 12 for place, model in enumerate(NINE)}
    found = judged(run(epochs=epochs), BITS)
    assert found.verdict == verdict
    assert found.reason == f"holds on {saving_on} of 9, refuted on {9 - saving_on}"


def test_an_interval_that_holds_both_is_undecided() -> None:
    assert judged(run(epochs=8), BITS).verdict == UNDECIDED
    assert judged(run(epochs=6, noise=0.6), BITS).verdict == UNDECIDED
    assert (
        judged(run(epochs={m: 6 if m in SIX[:4] else 8 for m in NINE}), TIME).verdict == UNDECIDED
    )


def test_models_that_were_not_run_are_missed() -> None:
    alone = judged(run(models=("resnet50",)), BITS)
    assert alone.verdict == CANNOT
    assert alone.reason == (
        "models missing for stego-once: alexnet, resnet18, resnet34, resnet101, inception_v3, "
        "densenet121, vgg16, convnext_base"
    )
    assert alone.found.startswith("resnet50 +6")
    six = judged(run(models=SIX), BITS)
    assert (six.verdict, six.reason) == (
        CANNOT,
        "models missing for stego-once: alexnet, resnet18, resnet34",
    )
    assert judged(run(models=SIX), TIME).verdict == REPRODUCED


def test_a_baseline_at_the_floor_judges_no_saving_by_epochs() -> None:
    for epochs in (4, 8):
        found = judged(run(base_epochs=4, epochs=epochs), BITS)
        assert (found.verdict, found.reason) == (CANNOT, "baseline at the floor in 5 of 5 seeds")
        found = judged(run("prune", base_epochs=4, epochs=epochs), PRUNING)
        assert (found.verdict, found.reason) == (CANNOT, "baseline at the floor in 5 of 5 seeds")
    assert judged(run(base_epochs=4, epochs=4), DROP).verdict == REPRODUCED
    longer = run(base_epochs=5, epochs=5)
    assert judged(longer, BITS).verdict == NOT


def test_one_model_at_the_floor_does_not_hide_what_the_others_decide() -> None:
    eight = run(models=NINE[1:])
    one = run(models=NINE[:1], base_epochs=4, epochs=4)
    assert judged([*one, *eight], BITS).verdict == REPRODUCED
    undecided = judged([*one, *run(models=NINE[1:], epochs=8)], BITS)
    assert (undecided.verdict, undecided.reason) == (
        CANNOT,
        "baseline at the floor in 5 of 5 seeds (alexnet)",
    )


def test_capped_epochs_judge_nothing_that_was_trained() -> None:
    records = run(epochs=3, base_epochs=8, max_epochs=8)
    for text in (BITS, TIME, DROP):
        found = judged(records, text)
        assert (found.verdict, found.reason) == (CANNOT, "epochs capped at 8")


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seed"), (4, "4 seeds")])
def test_few_seeds_judge_nothing(seeds: int, words: str) -> None:
    found = judged(run(seeds=seeds), BITS)
    reason = f"too few seeds: {words}, an interval needs 5"
    assert (found.verdict, found.reason) == (CANNOT, reason)


def test_an_estimate_judges_time_and_no_energy() -> None:
    records = run(source="codecarbon_estimate")
    found = judged(records, BITS)
    assert (found.verdict, found.reason) == (CANNOT, "energy is an estimate")
    assert judged(records, TIME).verdict == REPRODUCED
    pruned = run("prune", epochs=20, source="codecarbon_estimate")
    assert judged(pruned, PRUNING).reason == "energy is an estimate"


def test_another_arithmetic_judges_no_claim_about_bits() -> None:
    def in_arithmetic(own: str) -> list[RunRecord]:
        ours = {"changes": {"precision": own}}
        return run(changes={"precision": "fp32"}, ours=ours)

    for text in (BITS, TIME, DROP):
        found = judged(in_arithmetic("bf16"), text)
        assert (found.verdict, found.reason) == (CANNOT, "arithmetic bf16 against fp32")
        assert judged(in_arithmetic("fp32"), text).verdict == REPRODUCED


def test_clearing_bits_is_judged_on_bits_that_are_cleared_once() -> None:
    found = judged(run("stego"), BITS)
    assert found.verdict == CANNOT
    assert found.reason == "stego-once was not run"


def test_every_reason_is_told() -> None:
    found = judged(run(base_epochs=4, epochs=4, seeds=1, source="codecarbon_estimate"), BITS)
    assert found.verdict == CANNOT
    assert found.reason == (
        "too few seeds: 1 seed, an interval needs 5; baseline at the floor in 1 of 1 seeds; "
        "energy is an estimate"
    )


def test_a_drop_is_judged_at_the_claims_own_rate() -> None:
    def pruned(rate: float, correct: float) -> Judgement:
        compression = report("prune", rate)
        ours = {"compression": compression}
        records = run("prune", models=("vgg16",), correct=correct, ours=ours)
        return judged(records, "pruned by 61 %")

    assert pruned(0.60, 94).verdict == REPRODUCED
    assert pruned(0.60, 98).verdict == NOT
    at_91 = pruned(0.91, 94)
    assert at_91.verdict == CANNOT
    assert at_91.reason == "another compression rate: 91 % instead of 56 to 66 %"
    assert at_91.found.endswith("at 91 %")


def test_each_drop_stands_beside_its_own_networks_rate() -> None:
    """Two networks with the same drop: "resnet18 +0.67 pp at 28 %" was the other one's rate."""
    records = []
    for model, rate in (("resnet18", 0.89), ("inception_v3", 0.28)):
        ours = {"compression": report("lowrank", rate)}
        records += run("lowrank", models=(model,), correct=97.33, ours=ours)
    found = judged(records, "costs ResNet18 4.58").found
    resnet18, inception = found.split(", inception_v3 ")
    assert resnet18.startswith("resnet18 +0.67 pp")
    assert resnet18.endswith("at 89 %")
    assert inception.endswith("at 28 %")


def test_the_accuracy_of_all_nine() -> None:
    assert judged(run(correct=98.5), DROP).verdict == REPRODUCED
    near = judged(run(correct=97.5), DROP)  # one image of a hundred is a point
    assert near.verdict == UNDECIDED
    assert judged(run(correct=94), DROP).verdict == NOT


def test_rates_and_bits() -> None:
    def lowrank(rate: float) -> Judgement:
        ours = {"compression": report("lowrank", rate)}
        return judged(run("lowrank", ours=ours), "compresses by 17 to 43 %")

    assert lowrank(0.3).verdict == REPRODUCED
    assert (lowrank(0.9).verdict, lowrank(0.9).reason) == (NOT, "holds on 0 of 9, refuted on 9")
    fewer = run(models=("alexnet",), ours={"compression": report("stego-once", 0.7, bits=22)})
    found = judged(fewer, "8 of its 32 bits")
    assert (found.verdict, found.found) == (NOT, "alexnet 10 of 32 bits")


def test_the_interval_of_the_search_counts_for_the_bits() -> None:
    """All seeds share one search: 24 bits, and 22 to 25 over resampled validation images."""
    compression = replace(report("stego-once", 0.75, bits=24), interval=(22.0, 25.0))
    records = run(models=("alexnet",), ours={"compression": compression})
    assert judged(records, "8 of its 32 bits").verdict == UNDECIDED


def test_nothing_consistently_needs_a_model_that_saves_nothing_beyond_doubt() -> None:
    assert judged(run("prune", epochs=8), PRUNING).verdict == NOT
    one_costs = {model: 24 if model == "vgg16" else 8 for model in NINE}
    assert judged(run("prune", epochs=one_costs), PRUNING).verdict == REPRODUCED
    one_equal = {model: 16 if model == "vgg16" else 8 for model in NINE}
    assert judged(run("prune", epochs=one_equal), PRUNING).verdict == UNDECIDED


def test_nothing_consistently_does_not_hold_by_noise() -> None:
    """A method that changes nothing, on 40 runs: at most two verdicts where 2.5 % are allowed."""
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(40):
        records = []
        for model in NINE:
            for seed in range(5):
                for name in ("baseline", "prune"):
                    joules = 1000.0 * math.exp(rng.normal(0.0, 0.03))
                    records.append(cell(name, seed, joules, model=model, epochs=9))
        wrong += judged(records, PRUNING).verdict != UNDECIDED
    assert wrong <= 2


def test_what_lies_within_the_noise_floor_is_on_neither_side() -> None:
    records = run("prune", epochs=17, noise=0.001)
    assert judged(records, PRUNING).verdict == REPRODUCED
    rng = np.random.default_rng(6)
    again = [
        cell(
            "baseline-again",
            record.seed,
            (record.phases["finetune"].it_joules or 0.0) * factor,
            model=record.model,
            epochs=16,
        )
        for record in records
        if record.method == "baseline"
        for factor in [math.exp(rng.normal(0.0, 0.2))]
    ]
    assert judged([*records, *again], PRUNING).verdict == UNDECIDED


def test_many_epochs() -> None:
    text = "1.5 times"
    few = judged(run("prune", epochs=20), text)
    assert few.verdict == CANNOT
    assert few.reason == "no method took over 1.5 times the baseline's epochs"
    assert judged(run("prune", epochs=26), text).verdict == REPRODUCED
    cheap = run("prune", epochs=26, ours={"joules": 900.0})
    assert judged(cheap, text).verdict == NOT
    assert "vgg16 prune" in judged(cheap, text).found
    assert judged(run("prune", epochs=26, models=("vgg16",)), text).verdict == CANNOT


def test_the_page_says_it() -> None:
    def claims(records: list[RunRecord]) -> str:
        text = markdown([Run("run", Path("run.json"), tuple(records))])
        return next(line for line in text.splitlines() if BITS in line and "| Clearing" in line)

    assert "| reproduced " in claims(run())
    assert "| cannot be judged | models missing for stego-once: alexnet" in claims(
        run(models=("resnet50",))
    )
    assert "| cannot be judged | baseline at the floor" in claims(run(base_epochs=4, epochs=4))
    assert "| cannot be judged | epochs capped at 8" in claims(
        run(epochs=3, base_epochs=8, max_epochs=8)
    )
    assert "| cannot be judged | too few seeds: 1 seed" in claims(run(seeds=1))


def test_a_method_that_ran_on_other_models_was_not_left_out() -> None:
    """The claim on six networks, of a run that has the others: models are missing, no method."""
    cells = run("stego-once")
    few = [one for one in cells if one.model in ("alexnet", "resnet18", "resnet34")]
    found = judged(few, "Clearing low-order bits halves the training time on these six")
    assert found.verdict == CANNOT
    assert found.reason.startswith("models missing for stego-once: resnet50, resnet101")
