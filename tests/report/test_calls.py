"""Energies per call: their table, their comparison, and the gate."""

from dataclasses import replace
from typing import Any

import pytest

from energybench.errors import UsageError
from energybench.records.calls import CallEnergy
from energybench.report.calls import compare_calls, judge_calls
from energybench.report.gate import of_cells_and_calls, parse_limits
from energybench.report.tables.calls import call_table
from energybench.report.tables.compared_calls import calls_json, calls_text
from energybench.report.unpaired import unpaired_ratio

STEADY = (1.0, 1.01, 0.99, 1.02, 0.98)


def energy(joules: float | None, source: str = "rapl", **fields: Any) -> CallEnergy:
    given: dict[str, Any] = {
        "joules_per_call": joules,
        "domains": {"cpu:0": joules},
        "watts": None if joules is None else 10.0 * joules,
        "calls": 100,
        "window_s": 2.0,
        "sources": {"cpu:0": source},
    }
    return CallEnergy(**(given | fields))


def repeated(joules: float, spread: tuple[float, ...] = STEADY) -> CallEnergy:
    return energy(joules, repeats=[joules * one for one in spread])


def test_columns_and_order_as_asked_for() -> None:
    results = {"b": energy(2.0), "a": energy(None), "c": energy(0.001)}
    table = call_table(results, ("watts", "joules"), "joules").splitlines()
    assert table[0].split() == ["test", "watts", "joules"]
    assert [line.split()[0] for line in table[2:5]] == ["c", "b", "a"]  # what is not known last
    assert "1 mJ" in table[2]
    names = [line.split()[0] for line in call_table(results, sort="name").splitlines()[2:5]]
    assert names == ["a", "b", "c"]
    ran = [line.split()[0] for line in call_table(results).splitlines()[2:5]]
    assert ran == ["b", "a", "c"]


def test_the_table_has_intervals_sources_and_reasons() -> None:
    short = energy(1.0, "codecarbon_estimate", flags=["short_window"], note="called once")
    none = energy(None, sources={}, unavailable={"cpu:0": "gone"})
    text = call_table({"steady": repeated(1.0), "short": short, "none": none})
    assert "±2.0 %" in text
    assert "estimated: codecarbon_estimate" in text
    assert "short_window; called once" in text
    assert "no energy of none: cpu:0: gone" in text


def test_the_interval_of_unpaired_repeats_agrees_with_its_test() -> None:
    ratio = unpaired_ratio(1.1, [1.1 * one for one in STEADY], STEADY)
    ends = ratio.estimate
    assert ends.low is not None
    assert ends.high is not None
    assert ends.low < 1.1 < ends.high
    assert ratio.p_beyond(ends.low) == pytest.approx(0.025)
    # Welch's test of these logarithms: t = 9.53, 8 degrees of freedom
    assert ratio.p_beyond(1.0) == pytest.approx(6e-6, rel=0.1)


def test_few_or_equal_repeats() -> None:
    few = unpaired_ratio(1.2, [1.0], STEADY)
    assert few.p_beyond(1.0) is None
    assert few.estimate.low is None
    equal = unpaired_ratio(2.0, [2.0] * 5, [1.0] * 5)
    assert (equal.p_beyond(1.9), equal.p_beyond(2.1)) == (0.0, 1.0)
    assert unpaired_ratio(1.0, [0.0] * 5, STEADY).error is None


def test_a_limit_is_exceeded_beyond_the_noise_only() -> None:
    noisy = (0.5, 1.6, 0.7, 1.3, 0.9)
    found = compare_calls(
        {
            "old": {"steady": repeated(1.0), "noisy": repeated(1.0, noisy), "single": energy(1.0)},
            "new": {"steady": repeated(1.2), "noisy": repeated(1.2, noisy), "single": energy(1.2)},
        }
    )
    verdict = judge_calls(found, parse_limits("joules:10%"))
    assert [line.split(" in ")[0] for line in verdict.offences] == ["steady", "single"]
    assert "steady in new: joules +20.00 % [" in verdict.offences[0]
    assert verdict.offences[1].endswith("joules +20.00 %, limit 10 % (no repeats)")
    assert judge_calls(found, parse_limits("joules:25%")).offences == ()


def test_a_window_too_short_for_the_meter_is_judged_by_its_repeats_alone() -> None:
    flags = ["short_window"]
    runs = {"old": {"a": energy(1.0, flags=flags)}, "new": {"a": energy(9.0, flags=flags)}}
    verdict = judge_calls(compare_calls(runs), parse_limits("joules:10%"))
    assert verdict.offences == ()
    assert verdict.unknown == (
        "joules:10% not applied to a: windows shorter than the meters resolve; "
        "--energy-repeats=5 decides",
    )


def test_an_estimate_is_not_compared_with_a_measurement() -> None:
    runs = {
        "old": {"a": energy(1.0), "b": energy(1.0)},
        "new": {"a": energy(9.0, "codecarbon_estimate"), "b": energy(9.0, "wall_estimate")},
    }
    found = compare_calls(runs)
    assert not found.comparable
    assert found.refusals == (
        "not compared: a (old is measured: rapl, new is estimated: codecarbon_estimate); measure "
        "both in one way",
        "not compared: b (old is measured: rapl, new is estimated: wall_estimate); measure both "
        "in one way",
    )
    assert judge_calls(found, parse_limits("joules:10%")).offences == ()
    assert "not compared: a" in calls_text(found)


def test_estimates_with_other_watts_are_compared_with_a_note() -> None:
    older = energy(1.0, "codecarbon_estimate")
    runs = {
        "old": {"a": replace(older, assumptions="codecarbon: processor 8 W"), "b": older},
        "new": {"a": replace(older, assumptions="codecarbon: processor 16 W"), "b": older},
    }
    found = compare_calls(runs)
    assert found.tests[0].ratios["new"].value == 1.0
    (note,) = found.notes
    assert note == (
        "estimates with unlike watts, a: codecarbon: processor 8 W | now codecarbon: processor 16 W"
    )
    assert note in calls_text(found)


def test_a_comparison_names_runs_ratios_and_what_only_one_has() -> None:
    runs = {"old": {"a": energy(1.0), "gone": energy(1.0)}, "new": {"a": energy(0.5)}}
    found = compare_calls(runs)
    lines = calls_text(found).splitlines()
    assert lines[3].split()[:6] == ["a", "1", "J", "500", "mJ", "0.500"]
    assert "only in old: gone" in lines
    assert calls_json(found)["tests"][0]["ratios"]["new"]["value"] == 0.5
    assert calls_text(found, "csv").splitlines()[2] == "a,new,0.5,5.0,100,measured: rapl,0.5,,"
    nothing = compare_calls({"old": {"a": energy(1.0)}, "new": {"b": energy(1.0)}})
    assert calls_text(nothing).startswith("no test is in more than one run")


def test_foreign_names_steer_no_terminal_and_no_page() -> None:
    name = "test_x[\x1b[2J|<img src=x>=1+1]"
    text = calls_text(compare_calls({"a": {name: energy(1.0)}}), "markdown")
    assert "\x1b" not in text
    assert "<img" not in text
    assert "\\|" in text
    assert "\x1b" not in call_table({name: energy(1.0)})


def test_limits_on_calls_and_on_cells_come_together() -> None:
    cells, calls = of_cells_and_calls(parse_limits("kwh:5%,joules:10%,accuracy:1pp"))
    assert list(map(str, cells)) == ["kwh:5%", "accuracy:1pp"]
    assert list(map(str, calls)) == ["joules:10%"]
    with pytest.raises(UsageError, match="a limit of joules is in %, as in joules:10%"):
        parse_limits("joules:10")
