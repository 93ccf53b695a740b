import pytest
from support.saved_runs import RMSE

from energybench.records.metric import ACCURACY, Metric

PERPLEXITY = Metric("perplexity", higher_is_better=False, unit="", scale=1.0)


def test_a_drop_is_positive_where_the_model_is_worse() -> None:
    assert ACCURACY.drop(0.9, 0.88) == pytest.approx(2.0)
    assert ACCURACY.drop(0.88, 0.9) == pytest.approx(-2.0)
    assert RMSE.drop(0.5, 0.7) == pytest.approx(0.2)
    assert RMSE.drop(0.7, 0.5) == pytest.approx(-0.2)


def test_a_drop_of_exactly_the_tolerance_is_within_it() -> None:
    assert ACCURACY.is_within(0.9, 0.89, 1.0)  # 0.9 - 0.89 > 0.01 in floats
    assert not ACCURACY.is_within(0.9, 0.8899, 1.0)
    assert RMSE.is_within(0.5, 0.6, 0.1)
    assert not RMSE.is_within(0.5, 0.61, 0.1)


def test_values_and_drops_name_their_unit() -> None:
    assert (ACCURACY.show(0.975), ACCURACY.show_drop(1.5)) == ("97.50 %", "+1.50 pp")
    assert (RMSE.show(0.5123456), RMSE.show_drop(-0.02)) == ("0.5123 m", "-0.02 m")
    assert (PERPLEXITY.show(23.456), PERPLEXITY.show_drop(1.0)) == ("23.46", "+1")
    assert ACCURACY.show_drop(1.5, sign="") == "1.50 pp"


def test_the_direction_is_in_words() -> None:
    assert ACCURACY.worsened == "the accuracy dropped"
    assert RMSE.worsened == "the rmse rose"
    assert str(RMSE) == "rmse (lower is better, unit m, scale 1)"
