"""The front of the operating points, its table, figure and sentence."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from energybench.records.metric import ACCURACY, Metric
from energybench.records.saved import read_runs
from energybench.records.studies import OperatingPoint, to_extra_info
from energybench.report.figures.operating import operating_figure
from energybench.report.operating_points import front, mean_points, operating_finding
from energybench.report.page import markdown
from energybench.report.sections import sections
from energybench.report.style import PHONE_WIDTH


def point(
    batch: int, seconds: float, joules: float | None, value: float, **changes: Any
) -> OperatingPoint:
    fields: dict[str, Any] = {
        "model": "resnet18",
        "method": "baseline",
        "seed": 0,
        "batch_size": batch,
        "precision": "fp32",
        "power_limit_w": None,
        "device_name": "a GPU",
        "epochs": 10,
        "seconds": seconds,
        "joules": joules,
        "metric": ACCURACY,
        "value": value,
        "sources": {"gpu:0": "nvml_counter"},
    }
    return OperatingPoint(**(fields | changes))


SMALL = point(16, 40.0, 900.0, 0.97)
LARGE = point(256, 10.0, 500.0, 0.90)
WORSE = point(64, 41.0, 950.0, 0.96)
FRUGAL = point(256, 14.0, 350.0, 0.90, power_limit_w=250.0)
ALL = [SMALL, LARGE, WORSE, FRUGAL]


def names(found: list[OperatingPoint]) -> list[str]:
    return [one.name for one in front(mean_points(found))]


def test_only_a_point_that_another_beats_everywhere_is_off_the_front() -> None:
    assert names(ALL) == ["16, fp32", "256, fp32", "256, fp32, 250 W"]
    equal = point(32, 40.0, 900.0, 0.97)
    assert names([SMALL, equal]) == ["16, fp32", "32, fp32"], "neither is better in anything"


def test_points_of_other_models_are_no_rivals() -> None:
    other = point(64, 1.0, 1.0, 0.99, model="vgg16")
    assert len(front(mean_points([*ALL, other]))) == 4


def test_a_lower_value_is_better_where_the_metric_says_so() -> None:
    rmse = Metric("rmse", higher_is_better=False, unit="m", scale=1.0)
    good, bad = (point(16 * n, 10.0, 10.0, value, metric=rmse) for n, value in ((1, 0.5), (2, 0.6)))
    assert names([good, bad]) == ["16, fp32"]


def test_seeds_are_one_point_and_an_unknown_energy_stays_unknown() -> None:
    seeds = [SMALL, point(16, 44.0, 1100.0, 0.95, seed=1)]
    (mean,) = mean_points(seeds)
    assert (mean.seeds, mean.seconds, mean.joules) == (2, 42.0, 1000.0)
    assert mean.value == pytest.approx(0.96)
    (unread,) = mean_points([SMALL, point(16, 44.0, None, 0.95, seed=1)])
    assert unread.joules is None
    assert names([point(16, 40.0, None, 0.97), point(64, 41.0, None, 0.96)]) == ["16, fp32"]


def test_the_sentence_names_the_ends_of_the_front() -> None:
    assert operating_finding(ALL) == [
        "resnet18: 3 of 4 points are on the front; the least time 10.0 s at 256, fp32, the least "
        "energy 350 J at 256, fp32, 250 W, the best accuracy 97.00 % at 16, fp32."
    ]


def test_the_report_has_table_figure_and_sentence(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    benchmarks = [{"extra_info": to_extra_info(one)} for one in ALL]
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    runs = read_runs([str(path)], need_records=False)
    text = markdown(runs)
    assert "What a fine-tuning costs by batch size, arithmetic and power limit." in text
    rows = [re.sub(" +", " ", line) for line in text.splitlines()]
    assert (
        "| resnet18 | baseline | 256 | fp32 | 250 W | 1 | 10 | 14.0 s | 350 J | 90.00 % | yes |"
        in rows
    )
    assert any(row.endswith("| 96.00 % | no |") for row in rows)
    assert "Operating points. resnet18: 3 of 4 points are on the front" in text
    (section,) = sections(runs)
    figure = operating_figure(section, PHONE_WIDTH)
    assert figure is not None
    assert len(figure.axes) == 2
