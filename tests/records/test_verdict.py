from support.saved_runs import cell, failed, regression

from energybench.records.verdict import failure_text


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
