from typing import Any

import pytest
from support.saved_runs import cell, failed, regression

from energybench.records.flat_keys import flat_keys
from energybench.records.record import RunRecord
from energybench.records.verdict import failure_text, undecided
from energybench.report.tables.results import result_table


def test_a_cell_within_the_tolerance_does_not_fail() -> None:
    assert failure_text(cell("stego", correct=97)) is None
    assert failure_text(regression("stego", rmse=0.6)) is None
    assert failure_text(cell("stego", changes={"test": None})) is None
    assert failure_text(cell("stego", correct=1, changes={"reference_value": None})) is None


def test_a_lost_accuracy_is_counted_in_images() -> None:
    lost = cell("stego", correct=96, changes={"disagreements": 5})
    assert failure_text(lost) == (
        "resnet18 stego seed 0 lost 2.00 pp of accuracy, tolerance 1: baseline 98.00 % "
        "(98 of 100 test images), here 96.00 % (96); 5 images are classified differently"
    )


def test_an_error_that_rose_is_no_loss_of_accuracy() -> None:
    rose = regression("stego", rmse=0.8, changes={"disagreements": 100})
    assert failure_text(rose) == (
        "resnet18 stego seed 0 raised rmse by 0.3 m, tolerance 0.1: baseline 0.5 m "
        "(100 test trees), here 0.8 m; 100 trees differ from the baseline's"
    )
    assert failure_text(regression("stego", rmse=0.1)) is None


def test_a_value_that_is_not_finite_fails_in_one_line() -> None:
    for value in (float("nan"), float("inf")):
        text = failure_text(regression("stego", rmse=value))
        assert text is not None
        assert "\n" not in text
    text = failure_text(cell("stego", correct=float("nan")))
    assert text is not None
    assert "here nan %" in text


def test_a_failed_cell_says_its_error() -> None:
    assert failure_text(failed("stego")) == "resnet18 stego seed 0: the loss is not finite"


def exchanged(lost: int, gained: int, **rest: Any) -> RunRecord:
    """A cell that lost and gained test images against a baseline of 98 in 100."""
    changes = {"lost": lost, "gained": gained, "reference_source": "this run"}
    return cell("stego", correct=98 - lost + gained, changes=changes, **rest)


def test_a_lost_accuracy_has_its_interval_and_p_value() -> None:
    text = failure_text(exchanged(4, 1))
    assert text is not None
    assert text.endswith("here 95.00 % (95); drop 3.00 pp [-2.16, 9.00], p = 0.38")
    headline = flat_keys(exchanged(4, 1))
    assert headline["drop_low"] == pytest.approx(-2.16, abs=0.01)
    assert headline["drop_high"] == pytest.approx(9.00, abs=0.01)
    assert headline["drop_p"] == 0.375
    assert "drop_p" not in flat_keys(cell("stego", correct=95))


def test_the_confident_gate_fails_only_beyond_doubt() -> None:
    doubtful, sure = exchanged(4, 1), exchanged(30, 0)
    assert undecided(doubtful, "confident")
    assert failure_text(doubtful, "confident") is None
    assert not undecided(doubtful, "observed")
    assert not undecided(sure, "confident")
    text = failure_text(sure, "confident")
    assert text is not None
    assert text.endswith("p < 0.001")
    assert undecided(cell("stego", correct=90), "confident")  # no items are known: in doubt
    assert not undecided(exchanged(1, 1), "confident")
    assert not undecided(failed("stego"), "confident")
    assert failure_text(failed("stego"), "confident") is not None


def test_an_undecided_drop_is_marked_in_the_table() -> None:
    records = [cell(), exchanged(4, 1)]
    assert "+3.00 pp (undecided)" in result_table(records, gate="confident")
    assert "undecided" not in result_table(records)
