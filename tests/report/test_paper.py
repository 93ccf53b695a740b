import pytest
from support.saved_runs import cell

from energybench.records.record import CompressionReport, RunRecord
from energybench.report.paper import (
    NOT,
    NOT_MEASURED,
    PARTLY,
    REPRODUCED,
    Judgement,
    judgements,
    paper,
)
from energybench.report.savings import savings

SIX = ("resnet50", "resnet101", "inception_v3", "densenet121", "vgg16", "convnext_base")


def judged(records: list[RunRecord], text: str) -> Judgement:
    (found,) = [one for one in judgements(savings(records)) if text in one.claim.text]
    return found


def pair(model: str, method: str, joules: float, **changes: object) -> list[RunRecord]:
    return [cell(model=model), cell(method, model=model, joules=joules, **changes)]  # type: ignore[arg-type]


def report(method: str, rate: float, **settings: float) -> CompressionReport:
    return CompressionReport(method, dict(settings), rate, None, None)


def test_nothing_is_claimed_of_an_empty_run() -> None:
    assert {one.verdict for one in judgements([])} == {NOT_MEASURED}
    assert len(judgements([])) == len(paper().claims) == 10


@pytest.mark.parametrize(("saving_on", "verdict"), [(6, REPRODUCED), (2, PARTLY), (0, NOT)])
def test_a_claim_about_six_models(saving_on: int, verdict: str) -> None:
    records = []
    for place, model in enumerate(SIX):
        records += pair(model, "stego", 400.0 if place < saving_on else 900.0)
    found = judged(records, "over 50 %")
    assert found.verdict == verdict
    assert found.found.startswith(f"on {saving_on} of 6: resnet50 ")
    assert "not measured" not in found.found


def test_models_that_were_not_measured_are_named() -> None:
    found = judged(pair("vgg16", "stego", 400.0), "over 50 %")
    assert found.verdict == REPRODUCED
    assert found.found == (
        "on 1 of 1: vgg16 +60 %; not measured: resnet50, resnet101, inception_v3, densenet121, "
        "convnext_base"
    )
    assert judged(pair("alexnet", "stego", 400.0), "over 50 %").verdict == NOT_MEASURED


def test_time_drop_bits_and_rate() -> None:
    records = pair("vgg16", "stego", 400.0, seconds=4.0, correct=96)
    assert judged(records, "halves the training time").found.startswith("on 1 of 1: vgg16 0.40")
    assert judged(records, "at most 1 point").verdict == NOT
    bits = pair("alexnet", "stego", 900.0, compression=report("stego", 0.75, bits=24))
    assert judged(bits, "8 of its 32 bits").verdict == REPRODUCED
    fewer = pair("alexnet", "stego", 900.0, compression=report("stego", 0.7, bits=22))
    assert judged(fewer, "8 of its 32 bits").found == "on 0 of 1: alexnet 10 of 32 bits"
    rates = pair("vgg16", "lowrank", 900.0, compression=report("lowrank", 0.3))
    rates += pair("alexnet", "lowrank", 900.0, compression=report("lowrank", 0.9))
    found = judged(rates, "compresses by 17 to 43 %")
    assert (found.verdict, found.found) == (PARTLY, "on 1 of 2: vgg16 30 %, alexnet 90 %")


def test_a_drop_is_shown_at_its_own_compression() -> None:
    records = pair("vgg16", "prune", 900.0, correct=94, compression=report("prune", 0.5))
    found = judged(records, "pruned by 61 %")
    assert (found.verdict, found.found) == (REPRODUCED, "on 1 of 1: vgg16 +4.00 pp at 50 %")


def test_nothing_consistently_needs_two_models() -> None:
    one = pair("vgg16", "prune", 900.0)
    assert judged(one, "Pruning saves nothing").verdict == NOT_MEASURED
    both = [*one, *pair("alexnet", "prune", 900.0)]
    assert judged(both, "Pruning saves nothing").verdict == NOT
    mixed = [*one, *pair("alexnet", "prune", 1100.0)]
    found = judged(mixed, "Pruning saves nothing")
    assert (found.verdict, found.found) == (
        REPRODUCED,
        "saves on 1 of 2: vgg16 +10 %, alexnet -10 %",
    )


def test_many_epochs() -> None:
    assert judged(pair("vgg16", "prune", 900.0, epochs=6), "1.5 times").verdict == NOT_MEASURED
    costs = pair("vgg16", "prune", 1900.0, epochs=7)
    assert judged(costs, "1.5 times").verdict == REPRODUCED
    assert judged(pair("vgg16", "prune", 900.0, epochs=7), "1.5 times").verdict == NOT
