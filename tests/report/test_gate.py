from collections.abc import Sequence

import pytest
from support.saved_runs import cell, estimated, failed

from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.report.comparison import compare
from energybench.report.gate import Verdict, judge, parse_limits


def verdict(old: Sequence[RunRecord], new: Sequence[RunRecord], limits: str) -> Verdict:
    return judge(compare({"old": old, "new": new}), parse_limits(limits))


def test_limits_are_read() -> None:
    limits = parse_limits("kwh:5%, accuracy:1pp,duration:10 %,epochs:0%")
    assert [str(limit) for limit in limits] == [
        "kwh:5%",
        "accuracy:1pp",
        "duration:10%",
        "epochs:0%",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no limit"),
        ("kwh", "is no limit"),
        ("kwh:5%,", "is no limit"),
        ("kwh:-5%", "is no limit"),
        ("kwh:1e3%", "is no limit"),
        ("volts:5%", "no metric 'volts'"),
        ("kwh:5pp", "a limit of kwh is in %, as in kwh:5%"),
        ("accuracy:1%", "in pp, as in accuracy:1pp"),
        ("kwh:1.2.3%", "is not a number"),
    ],
)
def test_what_is_no_limit(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_limits(text)


def test_fewer_than_five_seeds_go_by_the_mean() -> None:
    found = verdict([cell()], [cell(joules=1060.0)], "kwh:5%")
    assert found.offences == ("resnet18 baseline in new: kwh +6.00 %, limit 5 % (1 seed)",)
    assert verdict([cell()], [cell(joules=1040.0)], "kwh:5%").offences == ()
    assert verdict([cell()], [cell(joules=500.0)], "kwh:5%").offences == ()


def test_five_seeds_count_when_the_interval_clears_the_limit() -> None:
    old = [cell(seed=seed) for seed in range(6)]
    noisy = [
        cell(seed=seed, joules=1000.0 * f) for seed, f in enumerate((1.4, 0.8, 1.3, 0.9, 1.2, 1.0))
    ]
    assert verdict(old, noisy, "kwh:5%").offences == ()  # +8 % in the mean, and nothing shown
    steady = [cell(seed=seed, joules=1080.0 + seed) for seed in range(6)]
    (line,) = verdict(old, steady, "kwh:5%").offences
    assert line.startswith("resnet18 baseline in new: kwh +8.25 % [+8.")
    assert line.endswith("limit 5 % (6 seeds, p < 0.001)")


def test_two_to_four_seeds_are_said_to_be_too_few() -> None:
    old = [cell(seed=seed) for seed in range(3)]
    new = [cell(seed=seed, joules=1100.0) for seed in range(3)]
    (line,) = verdict(old, new, "kwh:5%").offences
    assert line.endswith("kwh +10.00 % (too few for an interval), limit 5 % (3 seeds)")


def test_a_gate_over_many_rows_is_corrected_for_their_number() -> None:
    """Of 20 rows one is beyond its limit by chance; Holm's correction lets it pass."""
    methods = [f"m{number}" for number in range(20)]
    old = [cell(method, seed) for method in methods for seed in range(5)]
    luck = (1.09, 1.10, 1.12, 1.13, 1.20)  # alone: p = 0.01
    noise = (0.9, 0.95, 1.0, 1.05, 1.1)
    new = [
        cell(method, seed, joules=1000.0 * (luck if method == "m7" else noise)[seed])
        for method in methods
        for seed in range(5)
    ]
    alone = [record for record in new if record.method == "m7"]
    (line,) = verdict(old, alone, "kwh:5%").offences
    assert line.startswith("resnet18 m7 in new: kwh +12.")
    assert verdict(old, new, "kwh:5%").offences == ()
    worse = [cell(method, seed, joules=1200.0 + seed) for method in ("m3",) for seed in range(5)]
    new = [record for record in new if record.method != "m3"] + worse
    (line,) = verdict(old, new, "kwh:5%").offences
    assert "m3" in line
    assert line.endswith("(5 seeds, p < 0.001 by Holm's correction for 20)")


def test_equal_epochs_leave_room_for_an_epoch() -> None:
    old = [cell(seed=seed, epochs=10) for seed in range(5)]
    assert verdict(old, [cell(seed=s, epochs=11) for s in range(5)], "epochs:6%").offences == ()
    (line,) = verdict(old, [cell(seed=s, epochs=14) for s in range(5)], "epochs:6%").offences
    assert "epochs +40.00 % [+33." in line


@pytest.mark.parametrize(
    ("changes", "limit", "says"),
    [
        ({"correct": 96}, "accuracy:1pp", "accuracy -2.00 pp, limit 1 pp"),
        ({"seconds": 12.0}, "duration:10%", "duration +20.00 %, limit 10 %"),
        ({"epochs": 5}, "epochs:10%", "epochs +25.00 %, limit 10 %"),
        ({"search_joules": 500.0}, "kwh_total:10%", "kwh_total +50.00 %, limit 10 %"),
    ],
)
def test_every_metric(changes: dict[str, int], limit: str, says: str) -> None:
    (line,) = verdict([cell()], [cell(**changes)], limit).offences  # type: ignore[arg-type]
    assert says in line
    assert verdict([cell(**changes)], [cell()], limit).offences == ()  # type: ignore[arg-type]


def test_a_cell_that_fails_now_is_an_offence() -> None:
    both = [cell(), cell("stego")]
    (line,) = verdict(both, [cell(), failed("stego")], "kwh:5%").offences
    assert line == "resnet18 stego seed 0 in new: failed: the loss is not finite"
    assert verdict([cell(), failed("stego")], [cell(), failed("stego")], "kwh:5%").offences == ()


def test_what_is_not_known_is_not_passed_silently() -> None:
    found = verdict([cell(), cell("stego")], [cell(joules=None), cell("stego")], "kwh:5%,epochs:5%")
    assert found.offences == ()
    assert found.unknown == ("kwh:5% not applied to 1 of 2 rows: not known",)
    unlike = verdict([cell()], [cell(joules=9e9, source="codecarbon_estimate")], "kwh:5%")
    assert unlike.unknown == ("kwh:5% not applied to 1 of 1 rows: not known",)


def test_an_estimate_beside_a_measurement_is_refused_where_an_energy_is_limited() -> None:
    assert verdict([cell()], [estimated()], "kwh_total:5%").refused == (
        "kwh_total:5% would compare an estimate with a measurement: resnet18 baseline is read by "
        "rapl in old, by codecarbon_estimate in new; measure both alike"
    )
    assert verdict([cell()], [estimated()], "accuracy:1pp").refused is None
    assert verdict([cell()], [cell(source="zeus")], "kwh:5%").refused is None
    assert verdict([estimated()], [estimated()], "kwh:5%").refused is None
