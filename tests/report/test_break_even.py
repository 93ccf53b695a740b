"""After how many answers a method is paid back: golden numbers, intervals, and who is left out."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.answers import generation, images
from support.saved_runs import cell

from energybench.app.cli.main import main
from energybench.records.record import CompressionReport, RunRecord
from energybench.records.studies import Answered, to_extra_info
from energybench.report.break_even import BreakEven, break_evens
from energybench.report.savings import savings
from energybench.report.stats import crossing

NOISE = (1.00, 0.97, 1.02, 1.05, 0.99)


def runs(more: float, less: float, seeds: int = 5, noise: float = 1.0) -> tuple[Any, Any]:
    """Cells and answers of a baseline of 1000 J and 4 J an answer, and of one method."""
    records: list[RunRecord] = []
    answered: list[Answered] = []
    for seed in range(seeds):
        near = NOISE[seed] ** noise
        records.append(cell(seed=seed, joules=1000.0))
        records.append(cell("lowrank", seed, 700.0 + more * near, search_joules=300.0))
        answered.append(images("baseline", seed, {1: 4.0, 8: 2.0}))
        answered.append(images("lowrank", seed, {1: 4.0 - less, 8: 2.0 - less / near}))
    return records, answered


def even(more: float, less: float, seeds: int = 5, noise: float = 1.0) -> BreakEven:
    records, answered = runs(more, less, seeds, noise)
    found, left_out = break_evens(savings(records), answered)
    assert left_out == {}
    assert [one.batch_size for one in found] == [1, 8]
    return found[0]


def test_what_was_spent_is_divided_by_what_an_answer_saves() -> None:
    """200 J more to search and fine-tune, 0.5 J less per answer: 400 answers."""
    one = even(200.0, 0.5, noise=0.0)
    assert one.more.value == pytest.approx(200.0)
    assert one.less.value == pytest.approx(0.5)
    assert one.answers == pytest.approx(400.0)
    assert one.text == "400 [400, 400]"


def test_the_facility_does_not_change_the_number() -> None:
    records, answered = runs(200.0, 0.5, noise=0.0)
    other = [
        cell(one.method, one.seed, one.phases["finetune"].it_joules, pue=2.0, search_joules=300.0)
        if one.method == "lowrank"
        else cell(seed=one.seed, joules=1000.0, pue=2.0)
        for one in records
    ]
    (first, *_), _ = break_evens(savings(other), answered)
    assert first.answers == pytest.approx(400.0)


def test_the_interval_is_that_of_students_t_over_the_seeds() -> None:
    """An answer's saving is the same in every seed, so the interval is that of the cost alone."""
    one = even(200.0, 0.5)
    costs = [200.0 * near for near in NOISE]
    mean, half = np.mean(costs), 2.7764451052 * np.std(costs, ddof=1) / math.sqrt(5)
    assert one.doubt == pytest.approx(((mean - half) / 0.5, (mean + half) / 0.5))
    assert one.text == "403 [388, 418]"


@pytest.mark.parametrize(
    ("more", "less", "said"),
    [
        (200.0, 0.0, "never"),
        (200.0, -0.5, "never"),
        (-200.0, 0.5, "at once"),
        (-200.0, -0.5, "at once, up to 400 [400, 400]"),
        (200.0, 1e-4, "2,000,000 [2,000,000, 2,000,000]"),
    ],
)
def test_never_and_at_once(more: float, less: float, said: str) -> None:
    assert even(more, less, noise=0.0).text == said


def test_few_seeds_have_no_interval() -> None:
    assert even(200.0, 0.5, seeds=1).text == "400 (too few seeds for an interval)"
    assert even(200.0, -0.5, seeds=4).text == "never (too few seeds for an interval)"


def test_a_saving_per_answer_in_doubt_may_never_pay_back() -> None:
    """Answers are cheaper on four seeds and dearer on one; fine-tuning is dearer on all."""
    records, answered = runs(200.0, 0.5, noise=0.0)
    answered += [images("lowrank", 4, {1: 4.6, 8: 2.6})]
    (first, *_), _ = break_evens(savings(records), answered)
    assert first.less.value == pytest.approx(0.28)
    assert first.text == "715 [225, never]"


@pytest.mark.parametrize(
    ("tops", "bottoms", "says"),
    [
        ([9, 11, 10, 10, 10], [-1, -1.1, -0.9, -1, -1], None),
        ([-9, -11, -10, -10, -10], [1, 1.1, 0.9, 1, 1], None),
        ([-9, 11, 0, 5, -6], [1, 1.1, 0.9, 1, 1], (0.0, 10.0)),
        ([-9, 11, 0, 5, -6], [1, -1, 0.2, -0.3, 0.1], (0.0, math.inf)),
    ],
)
def test_where_the_sign_of_the_sum_is_in_doubt(
    tops: list[float], bottoms: list[float], says: tuple[float, float] | None
) -> None:
    """The ends are where Student's interval of the total begins or ceases to hold zero."""
    pairs = list(zip(map(float, tops), map(float, bottoms), strict=True))
    found = crossing(pairs)
    for n in (0.0, 1.0, 3.0, 8.0, 9.9, 20.0, 1e4):
        totals = [top - n * bottom for top, bottom in pairs]
        half = 2.7764451052 * np.std(totals, ddof=1) / math.sqrt(5)
        in_doubt = abs(np.mean(totals)) <= half
        assert in_doubt == (found is not None and found[0] <= n <= found[1])
    if says is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == says[0]
        assert found[1] == pytest.approx(says[1], rel=0.3)


def test_the_interval_holds_the_true_number_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        pairs = [(rng.normal(200.0, 20.0), rng.normal(0.5, 0.05)) for _ in range(5)]
        found = crossing(pairs)
        held += found is not None and found[0] <= 400.0 <= found[1]
    assert 0.92 <= held / 400 <= 0.98


def only(records: list[RunRecord], answered: Sequence[Answered]) -> dict[str, str]:
    found, left_out = break_evens(savings(records), answered)
    assert found == []
    return left_out


def test_who_is_left_out_is_told_why() -> None:
    records = [cell(), cell("lora", joules=500.0)]
    base = images("baseline", 0, {1: 4.0})
    assert only(records, []) == {}, "nobody measured answers of this model"
    assert only(records, [base]) == {"resnet18 lora": "its answers were not measured"}
    later = [base, images("lora", 3, {1: 3.0})]
    why = "no seed has both its fine-tuning and its answers"
    assert only(records, later) == {"resnet18 lora": why}
    estimated = [base, images("lora", 0, {1: 3.0}, source="codecarbon_estimate")]
    why = "fine-tuning was read by rapl, answers by codecarbon_estimate and rapl"
    assert only(records, estimated) == {"resnet18 lora": why}
    why = "no batch size has a known energy of its answers and the baseline's"
    assert only(records, [base, images("lora", 0, {8: 3.0})]) == {"resnet18 lora": why}
    unknown = [cell(), cell("lora", joules=None)]
    why = "the energy of its fine-tuning is not known"
    assert only(unknown, [base, images("lora", 0, {1: 3.0})]) == {"resnet18 lora": why}
    texts = [
        generation("baseline", 0, {1: 4.0}, model="resnet18"),
        generation("lora", 0, {1: 4.0}, model="resnet18", answer_length=9),
    ]
    why = "its answers have other lengths than the baseline's"
    assert only(records, texts) == {"resnet18 lora": why}


def saved(path: Path, records: list[RunRecord], answered: Sequence[Answered]) -> str:
    extras: list[dict[str, Any]] = [{"energybench": one.to_json()} for one in records]
    extras += [to_extra_info(one) for one in answered]
    path.write_text(json.dumps({"benchmarks": [{"extra_info": extra} for extra in extras]}))
    return str(path)


def test_the_report_joins_the_matrix_and_the_study_of_one_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In two files; the row says what a reader should know of it."""
    records, answered = runs(200.0, 0.5)
    half = CompressionReport("lowrank", {"fraction": 0.5}, 0.5, None, None)
    records = [
        cell(one.method, one.seed, one.phases["finetune"].it_joules, search_joules=300.0,
             compression=half, correct=90)
        if one.method == "lowrank"
        else one
        for one in records
    ] + [cell("prune", seed, 900.0) for seed in range(5)]  # fmt: skip
    matrix = saved(tmp_path / "matrix.json", records, [])
    study = saved(tmp_path / "answers.json", [], answered)
    assert main(["report", "--markdown", matrix, study]) == 0
    text = capsys.readouterr().out
    _, _, part = text.partition("After how many answers is it paid back")
    rows = [[one.strip() for one in line.split("|")[1:-1]] for line in part.splitlines()]
    (cells, _) = [row for row in rows if row[1:2] == ["lowrank"]][:2]
    assert cells[:4] == ["resnet18", "lowrank", "5", "1"]
    assert cells[4].startswith("+201 [")
    assert cells[6] == "403 [388, 418]"
    assert cells[7] == "✗ drop beyond the tolerance; freed 50 % in fine-tuning, 0 % in answers"
    assert "An answer is one image." in part
    assert "resnet18 prune: its answers were not measured." in part
    page = tmp_path / "report.html"
    assert main(["report", matrix, study, "-o", str(page)]) == 0
    html = page.read_text()
    assert html.count("After how many answers is it paid back</h3>") == 1
    assert "403" in html
    assert main(["report", "--markdown", matrix]) == 0
    assert "paid back" not in capsys.readouterr().out


def test_answers_of_a_language_model_have_tables_a_figure_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered = [
        generation("baseline", 0, {1: 4.0, 16: 1.0}),
        generation("lowrank", 0, {1: 3.0, 16: 1.5}, prefill=8.0, decode=30.0),
    ]
    path = saved(tmp_path / "answers.json", [], answered)
    assert main(["report", "--markdown", path]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "| gpt2-tiny | lowrank | fp32 | 128 | 64 | 1 | 16 | 8 | 30 | 1.5 | 1000 | 200 | 2 |" in text
    )
    assert (
        "gpt2-tiny lowrank [fp32] against the baseline, per token: prefill takes 20 % less energy "
        "and decoding takes 50 % more energy at batch 1; prefill takes 20 % less energy and "
        "decoding takes 50 % more energy at batch 16." in text
    )
    assert main(["report", path, "-o", str(tmp_path / "page.html")]) == 0
    html = (tmp_path / "page.html").read_text()
    assert "<h3>Answers of language models</h3>" in html
    assert "measured in a window of their own each" in html
    out = tmp_path / "generation.svg"
    assert main(["plot", "generation", path, "-o", str(out)]) == 0
    assert "lowrank [fp32]" in out.read_text()


def test_disturbed_answers_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the row, and where prefill and decoding apart took another energy than together."""
    apart = (128 * 10.0 + 63 * 20.0) / 1000
    quiet = generation("baseline", 0, {1: apart, 16: 1.1 * apart}, model="resnet18")
    loud = generation("prune", 0, {1: apart, 16: 2 * apart}, model="resnet18")
    assert quiet.apart_over_together == {1: pytest.approx(1.0), 16: pytest.approx(1 / 1.1)}
    loud.flags.append("contaminated")
    records = [cell(), cell("prune", joules=1500.0, changes={"flags": ["uneven"]})]
    path = saved(tmp_path / "run.json", records, [quiet, loud])
    assert main(["report", "--markdown", path]) == 0
    text = capsys.readouterr().out
    assert "| fine-tuning uneven; answers contaminated" in text
    assert (
        "- noise in answers: prefill and decoding apart took 0.50 times as much as together "
        "(resnet18 prune seed 0 at batch 16)" in text
    )
    assert "contaminated: in steps, answers or operating points" in text
