"""The sentences on language models, which the paper leaves open: golden texts of synthetic runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.saved_runs import cell, language

from energybench.records.record import RunRecord, Weights
from energybench.records.saved import Run
from energybench.report.open_question import FAILS, HOLDS, TITLE, OpenQuestion, open_question
from energybench.report.page import markdown, page
from energybench.report.paper import CANNOT, UNDECIDED
from energybench.report.readme import summary
from energybench.report.sections import Section

OPENING = "The paper leaves open whether its result holds for language models."
BASIS = (
    "This rests on one model, gpt2-tiny (2 million parameters, pretrained on Python's language "
    "reference), fine-tuned on text, in blocks of 128 tokens, with"
)
NO_REPEAT = "No baseline was repeated, so the noise of a saving is not known."


def run(methods: dict[str, float], seeds: int = 5, noise: float = 0.02, **rest: Any) -> Any:
    """A baseline of 12 epochs and 1,200 J, and methods with a factor on its energy."""
    rng = np.random.default_rng(0)
    records: list[RunRecord] = []
    for seed in range(seeds):
        records.append(language(seed=seed, joules=1200.0, epochs=12, **rest))
        for method, factor in methods.items():
            joules = 1200.0 * factor * float(np.exp(rng.normal(0.0, noise)))
            records.append(language(method, seed, joules, epochs=12, **rest))
    return records


def asked(records: list[RunRecord]) -> OpenQuestion:
    found = open_question(Section("run", "a processor", tuple(records)))
    assert found is not None
    return found


def verdicts(found: OpenQuestion) -> dict[str, str]:
    return {one.claim.text: one.verdict for one in found.judged}


def test_five_seeds_judge_each_method() -> None:
    found = asked(run({"stego-once": 0.4, "prune": 1.3, "lowrank": 1.0}))
    text = found.text
    assert text.startswith(
        f"{OPENING} Beyond doubt, stego-once saves energy here. Beyond doubt, prune saves no "
        "energy here. Lowrank is undecided. Seen on gpt2-tiny: stego-once saves 6"
    )
    assert "; prune costs 29." in text
    assert "lowrank shows no clear saving (" in text
    assert text.endswith(f"{BASIS} 5 seeds. {NO_REPEAT}")
    assert verdicts(found) == {
        "stego-once saves energy": HOLDS,
        "prune saves energy": FAILS,
        "lowrank saves energy": UNDECIDED,
        "stego-once costs at most 1 point of next-token accuracy": HOLDS,
        "prune costs at most 1 point of next-token accuracy": HOLDS,
        "lowrank costs at most 1 point of next-token accuracy": HOLDS,
        "stego-once saves over 50 % of the energy, as on six of nine image networks": HOLDS,
    }


def test_one_seed_of_an_estimate_decides_nothing_and_says_what_was_seen() -> None:
    source = "codecarbon_estimate"
    found = asked(run({"stego-once": 1.1, "lora": 0.75}, 1, 0.0, source=source, correct=96))
    reason = "too few seeds: 1 seed, an interval needs 5; energy is an estimate"
    assert found.text == (
        f"{OPENING} Stego-once and lora cannot be judged ({reason}). Seen on gpt2-tiny: stego-once "
        "took 10.0 % more energy, beyond the tolerance; lora took 25.0 % less energy, beyond the "
        f"tolerance. {BASIS} one seed. Energy is an estimate here, not a measurement. One seed: "
        f"there are no intervals, so nothing is concluded. {NO_REPEAT}"
    )
    assert set(verdicts(found).values()) == {CANNOT}


def test_disturbed_cells_are_counted() -> None:
    records = run({"lora": 0.7}, seeds=2)
    disturbed = [replace(one, flags=["contaminated"]) for one in records[:3]]
    told = "3 of 4 cells were disturbed while training (contaminated)."
    assert told in asked([*disturbed, *records[3:]]).text
    assert "disturbed" not in asked(records).text


def test_a_difference_within_the_noise_floor_is_no_saving() -> None:
    records = run({"prune": 0.97}, noise=0.001)
    rng = np.random.default_rng(1)
    for seed in range(5):
        joules = 1200.0 * float(np.exp(rng.normal(0.0, 0.2)))
        records.append(language("baseline-again", seed, joules, epochs=12))
    found = asked(records)
    assert verdicts(found)["prune saves energy"] == UNDECIDED
    assert "prune shows no difference beyond the noise floor (±" in found.text
    assert "Noise floor of one pair of cells" in found.text


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({"max_epochs": 12}, "epochs capped at 12"),
        ({"patience": 11}, "baseline at the floor in 5 of 5 seeds"),
    ],
)
def test_what_keeps_a_verdict_back_is_told(rest: dict[str, Any], reason: str) -> None:
    found = asked(run({"stego": 0.5}, **rest))
    assert f"Stego cannot be judged ({reason})." in found.text
    assert verdicts(found)["stego saves energy"] == CANNOT


def test_the_arithmetic_that_a_method_chose_is_part_of_its_saving() -> None:
    """Of the paper's claim on bits it is not: that has to be judged in one arithmetic."""
    records = run({"stego-once": 0.4})
    records = [
        language(
            one.method, one.seed, one.phases["finetune"].it_joules, epochs=12,
            changes={"precision": "fp32" if one.method == "baseline" else "bf16"},
        )
        for one in records
    ]  # fmt: skip
    found = verdicts(asked(records))
    assert found["stego-once saves energy"] == HOLDS
    amount = "stego-once saves over 50 % of the energy, as on six of nine image networks"
    assert found[amount] == CANNOT


def test_two_models_are_judged_together_and_described() -> None:
    dequantized = "SmolLM2-135M-Instruct, dequantized from Q4_1, then fine-tuned"
    large: dict[str, Any] = {
        "model": "smollm2-135m",
        "weights": Weights(dequantized, "s00"),
        "changes": {"parameters": 134_515_008},
    }
    both = [*run({"lowrank": 0.7}), *run({"lowrank": 0.8}, **large)]
    found = asked(both)
    assert "Beyond doubt, lowrank saves energy here." in found.text
    assert (
        "This rests on 2 models, gpt2-tiny (2 million parameters, pretrained on Python's language "
        f"reference) and smollm2-135m (135 million parameters, {dequantized}), fine-tuned on"
    ) in found.text
    fewer = [*run({"lowrank": 0.7}), *run({"lowrank": 0.8}, seeds=1, **large)]
    assert "with 5 seeds of gpt2-tiny and one seed of smollm2-135m." in asked(fewer).text
    against = [*run({"lowrank": 0.7}), *run({"lowrank": 1.3}, **large)]
    assert verdicts(asked(against))["lowrank saves energy"] == FAILS


def test_images_and_other_protocols_say_nothing() -> None:
    assert open_question(Section("run", "m", (cell(), cell("prune", joules=500.0)))) is None
    loose = run({"prune": 0.5}, tolerance=5.0)
    assert open_question(Section("run", "m", tuple(loose))) is None


def test_the_page_markdown_and_readme_have_it() -> None:
    run_of_text = Run("texts", Path("texts.json"), tuple(run({"lora": 0.5, "stego-once": 1.0})))
    images = Run("images", Path("images.json"), (cell(), cell("prune", joules=500.0)))
    text = markdown([run_of_text, images])
    _, _, part = text.partition(f"### {TITLE}")
    assert "Beyond doubt, lora saves energy here." in part
    assert "| lora saves energy " in part
    html = page([run_of_text])
    assert f'<h3 id="open">{TITLE}</h3>' in html
    assert "Beyond doubt, lora saves energy here." in html
    assert OPENING in summary(run_of_text)
    assert TITLE not in markdown([images])
    assert 'id="open"' not in page([images])
    assert OPENING not in summary(images)
