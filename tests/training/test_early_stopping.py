import pytest

from energybench.training.early_stopping import EarlyStopping


@pytest.mark.parametrize(
    ("losses", "stops_after"),
    [
        ([1.0, 1.0, 1.0, 1.0], 4),  # the first epoch always improves on nothing
        ([1.0, 0.96, 0.96, 0.94, 0.94, 0.94, 0.94], 7),  # 0.94 is 0.06 below 1.0: an improvement
        ([1.0, 0.97, 0.96, 0.951], 4),  # a slow descent of under min_delta in all is none
        ([3.0, 2.0, 1.0, 0.5, 0.4, 0.3], None),
    ],
)
def test_patience_and_min_delta(losses: list[float], stops_after: int | None) -> None:
    stopping = EarlyStopping(patience=3, min_delta=0.05)
    stops = [stopping.should_stop(loss) for loss in losses]
    assert stops.index(True) + 1 == stops_after if stops_after else not any(stops)
