"""Configurations name the field that is wrong; flags are the business of plugin and shell."""

import math
from collections.abc import Callable

import pytest

from energybench.config import DataConfig, FinetuneConfig, MeasureConfig, RunConfig
from energybench.errors import UsageError


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FinetuneConfig(batch_size=1), "batch_size is 1; it must be at least 2"),
        (lambda: FinetuneConfig(max_epochs=0), "max_epochs is 0; it must be at least 1"),
        (lambda: FinetuneConfig(budget="half"), "budget is half; known: early-stopping, equal"),
        (lambda: MeasureConfig(pue=1e308), "pue is 1e+308; it must be at most 100"),
        (lambda: MeasureConfig(idle_s=-1), "idle_s is -1; it must be at least 0"),
        (lambda: DataConfig(bad_images="keep"), "bad_images is keep; known: refuse, skip"),
        (lambda: RunConfig(tolerance=math.nan), "tolerance is nan; it must be at least 0"),
        (lambda: RunConfig(tolerance=math.inf), "tolerance is inf; it must be finite"),
        (lambda: RunConfig(weights=""), "weights is empty; give it a value, or leave it out"),
        (lambda: RunConfig(device="tpu"), "device is tpu; use auto, cpu, cuda or cuda:N"),
        (lambda: RunConfig(precision="fp8"), "precision is fp8; known: fp32, tf32, bf16"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    make: Callable[[], object], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == says


def test_a_long_value_is_cut_in_the_error() -> None:
    with pytest.raises(UsageError) as caught:
        RunConfig(device="x" * 10_000)
    assert len(str(caught.value)) < 200


def test_defaults_are_accepted_as_they_are() -> None:
    assert RunConfig() == RunConfig(data=DataConfig(cache=""), weights=None)
