from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import cell, estimated, failed, regression

from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.against import ENERGY, Finding, findings, newly_failed, to_json
from energybench.report.gate import parse_limits

WOBBLE = (1.0, 1.01, 0.99, 1.005, 0.995, 1.002)
"""Six runs, within 1 %, without a step."""


def run(number: int, records: Sequence[RunRecord]) -> Run:
    label = f"{number:04}"
    return Run(
        label, Path(f"{label}.json"), tuple(records), commit=f"c{number}", measured_on="2026-11-24"
    )


def series(factors: Sequence[float], **fields: Any) -> list[Run]:
    return [run(n, [cell(joules=1000.0 * factor, **fields)]) for n, factor in enumerate(factors)]


def judged(runs: Sequence[Run], limits: str | None = None) -> list[Finding]:
    return findings(runs[-1], runs[:-1], parse_limits(limits) if limits else ENERGY)


def test_a_regression_names_its_first_run_with_an_interval() -> None:
    (found,) = judged(series([*WOBBLE, *WOBBLE, 1.2, 1.21, 1.19]), "kwh:5%")
    assert found.exceeded
    assert found.since is not None
    assert found.since.label == "0012"
    assert found.text.startswith("regression since 0012 (c12, 2026-11-24): +19.")
    assert found.text.endswith("], 3 runs against 12")
    assert found.where == "resnet18 baseline: kwh"


def test_a_regression_within_the_limit_is_said_and_allowed() -> None:
    runs = series([*WOBBLE, *WOBBLE, 1.2, 1.21, 1.19])
    (found,) = judged(runs, "kwh:20%")
    assert not found.exceeded
    assert "regression since 0012" in found.text


def test_the_last_run_alone_can_be_one_and_less_is_better() -> None:
    (up,) = judged(series([*WOBBLE, *WOBBLE, 1.3]), "kwh:5%")
    assert up.exceeded
    assert up.text.endswith("this run alone against 12")
    (down,) = judged(series([*WOBBLE, *WOBBLE, 0.7, 0.71]), "kwh:5%")
    assert not down.exceeded
    assert down.text.startswith("better since 0012 (c12, 2026-11-24): -2")


def test_no_step_says_how_far_runs_differ_and_few_runs_say_so() -> None:
    (found,) = judged(series([*WOBBLE, *WOBBLE]))
    assert found.text == "no step in 12 runs, which differ by ±0.7 %"
    (short,) = judged(series(WOBBLE[:4]), "kwh:5%")
    assert short.text == "too few runs for a step: 4 of 5"
    assert not short.exceeded


def test_a_step_that_was_taken_back_is_no_regression() -> None:
    after = [1.001 * factor for factor in WOBBLE]
    (found,) = judged(series([*WOBBLE, 1.3, 1.31, 1.29, 1.3, *after]), "kwh:5%")
    assert not found.exceeded
    assert found.text == "as good as the best level of 16 runs"


def test_metrics_durations_and_epochs_have_steps_too() -> None:
    def runs(**after: Any) -> list[Run]:
        return [run(n, [cell(**(after if n >= 9 else {}))]) for n in range(12)]

    (worse,) = judged(runs(correct=90), "accuracy:1pp")
    assert worse.exceeded
    assert "regression since 0009 (c9, 2026-11-24): -8.00 pp [-" in worse.text
    (better,) = judged(runs(correct=99), "accuracy:0pp")
    assert better.text.startswith("better since")
    (slow,) = judged(runs(seconds=15.0), "duration:10%")
    assert slow.exceeded
    (longer,) = judged(runs(epochs=9), "epochs:10%")
    assert longer.exceeded
    errors = [run(n, [regression(rmse=0.9 if n >= 9 else 0.5)]) for n in range(12)]
    (high,) = judged(errors, "rmse:0.1m")
    assert high.exceeded
    assert "+0.4 m" in high.text
    assert judged(errors, "accuracy:1pp") == []


def test_one_item_of_the_test_is_no_step() -> None:
    """The smallest difference that an accuracy over 100 items can have, seen three times."""
    runs = [run(n, [cell(correct=97 if n in (9, 10, 11) else 98)]) for n in range(12)]
    assert judged(runs, "accuracy:0pp")[0].exceeded
    rounding = [run(n, [cell(correct=97 if n == 11 else 98)]) for n in range(6)]
    assert not judged(rounding, "accuracy:0pp")[0].exceeded


def test_many_rows_are_corrected_for_their_number() -> None:
    """A step that counts alone is chance among forty rows."""
    import numpy as np

    draw = np.random.default_rng(5)
    runs = []
    for n in range(9):
        methods = {f"m{row}": 1.0 + draw.normal(0.0, 0.01) for row in range(40)}
        methods["m7"] = WOBBLE[n % 6] + (0.055 if n == 8 else 0.0)
        runs.append(run(n, [cell(name, joules=1000.0 * value) for name, value in methods.items()]))
    alone = [
        run(n, [one for one in all_.records if one.method == "m7"]) for n, all_ in enumerate(runs)
    ]
    assert judged(alone, "kwh:0%")[0].exceeded
    assert not any(one.exceeded for one in judged(runs, "kwh:0%"))


def test_a_series_has_the_runs_with_every_seed_of_the_last_one() -> None:
    both = [
        run(n, [cell(seed=seed, joules=1000.0 * (1 + seed)) for seed in range(2)]) for n in range(6)
    ]
    one = [run(n + 6, [cell(seed=0, joules=9000.0)]) for n in range(3)]
    (found,) = judged([*both[:3], *one, *both[3:]])
    assert len(found.runs) == 6
    assert "no step in 6 runs" in found.text


def test_other_settings_are_another_series() -> None:
    old = [run(n, [cell(joules=5000.0, batch_size=128)]) for n in range(6)]
    new = run(6, [cell()])
    (found,) = judged([*old, new])
    assert found.text == "too few runs for a step: 1 of 5"
    (allowed,) = findings(new, old, ENERGY, {"batch_size"})
    assert allowed.text.startswith("better since 0006")


@pytest.mark.parametrize(
    ("other", "limits", "says"),
    [
        (
            cell(machine={"cpu": "another", "logical_cores": 64, "ram_gib": 8}),
            "epochs:5%",
            "resnet18 baseline has two machines in its history: a processor, a processor, 2 cores",
        ),
        (
            estimated(),
            "kwh:5%",
            "two sources of energy in its history: rapl in 0000, codecarbon_est",
        ),
        (cell(source="zeus"), "kwh_total:5%", "two sources of energy in its history"),
    ],
)
def test_a_series_that_mixes_machines_or_sources_is_refused(
    other: RunRecord, limits: str, says: str
) -> None:
    runs = [*series(WOBBLE), run(6, [other])]
    with pytest.raises(UsageError, match="name runs of one with --history") as raised:
        judged(runs, limits)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_estimates_by_other_watts_are_refused_and_epochs_need_no_energy() -> None:
    runs = [run(n, [estimated()]) for n in range(6)]
    others = [*runs, run(6, [estimated(assumed=None)])]
    with pytest.raises(UsageError, match="two estimates in its history"):
        judged(others, "kwh:5%")
    assert "no step" in judged(others, "epochs:5%")[0].text
    assert "no step" in judged(runs, "kwh:5%")[0].text


def test_a_cell_that_fails_now_is_named() -> None:
    past = series(WOBBLE)
    new = run(9, [failed("baseline"), failed("stego")])
    assert newly_failed(new, past) == [
        "resnet18 baseline seed 0 in 0009: failed: the loss is not finite"
    ]


def test_an_unknown_energy_is_left_out() -> None:
    runs = series(WOBBLE)
    gap = run(9, [cell(joules=None)])
    assert [one.label for one in judged([gap, *runs])[0].runs] == [one.label for one in runs]
    assert judged([*runs, gap]) == []


def test_the_json_has_the_numbers() -> None:
    (found,) = to_json(judged(series([*WOBBLE, *WOBBLE, 1.2, 1.21, 1.19]), "kwh:5%"))
    assert found["exceeded"] is True
    assert found["since"] == {"label": "0012", "commit": "c12", "measured_at": None}
    assert found["change"]["low"] < 20.0 < found["change"]["high"]
    assert found["unit"] == "%"
    assert len(found["runs"]) == 15
