from dataclasses import replace

import pytest
from support.saved_runs import cell, reading

from energybench.energy.readings import EnergyReading, PowerTrace
from energybench.energy.spans import Span
from energybench.records.placement import Placement
from energybench.records.record import RunRecord
from energybench.report.mlperf import Finding, check_mlperf, timed


def traced(
    seconds: float = 70.0,
    watts: float | None = 50.0,
    period: float = 1.0,
    seed: int = 0,
    domain: str = "wall:plug",
    source: str = "rapl",
) -> RunRecord:
    """A cell whose fine-tuning begins 10.5 s after its trace and is followed by 5 s of test."""
    times = [period * number for number in range(1, int((15.5 + seconds) / period) + 1)]
    trace = PowerTrace(period, times, {domain: [watts] * len(times)}, {"finetune": 10.5})
    fine = EnergyReading(seconds, {domain: 50.0 * seconds}, {domain: source})
    return cell(seed=seed, changes={"trace": trace, "phases": {"finetune": fine}})


def findings(record: RunRecord) -> dict[str, Finding]:
    checked, _ = check_mlperf([record])
    return {finding.rule: finding for finding in checked.findings}


def test_a_whole_node_that_is_sampled_each_second_leaves_the_meters_accuracy_open() -> None:
    states = [finding.state for finding in findings(traced()).values()]
    assert states == ["pass"] * 6 + ["cannot know"]
    found = findings(traced())
    assert found["one measurement a second"].text == "71 samples, at most 1.00 s apart"
    assert found["a whole run, 60 samples or more"].state == "pass"
    assert found["a whole run, 60 samples or more"].text == "71 samples over 70.0 s"
    assert found["energy of the run"].text == "3.55 kJ, the sum of power x seconds"
    assert "holds no certificate" in found["a power meter within 5 %"].text


def test_only_samples_over_the_timed_portion_count() -> None:
    found = timed(traced(3.0))
    assert not isinstance(found, str)
    assert (found.times_s, found.joules) == ((10.0, 11.0, 12.0, 13.0, 14.0), 200.0)


def test_too_few_samples_and_too_slow_ones_fail() -> None:
    short = findings(traced(30.0))["a whole run, 60 samples or more"]
    assert short.state == "fail"
    assert short.text.startswith("not met: 31 samples over 30.0 s; train on more items")
    slow = findings(traced(200.0, period=1.5))["one measurement a second"]
    assert (slow.state, slow.text[:8]) == ("fail", "not met:")
    assert "at most 1.50 s apart" in slow.text


def test_a_gap_between_samples_fails() -> None:
    record = traced()
    assert record.trace is not None
    times = record.trace.time_s[:40] + record.trace.time_s[43:]
    watts = record.trace.watts["wall:plug"][3:]
    gap = replace(record.trace, time_s=times, watts={"wall:plug": watts})
    found = findings(replace(record, trace=gap))["one measurement a second"]
    assert found.text == "not met: 68 samples, at most 4.00 s apart"


def test_samples_that_end_before_training_does_fail() -> None:
    record = traced()
    assert record.trace is not None
    cut = replace(record.trace, time_s=record.trace.time_s[:75])
    found = findings(replace(record, trace=cut))["a whole run, 60 samples or more"]
    assert found.text == "not met: 65 samples over 70.0 s, which end before fine-tuning does"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trace": None}, "measure with --energy-trace"),
        ({"phases": {}}, "never came to its fine-tuning"),
        ({"spans": {"finetune": [Span("", 1.0, 1.0)] * 2}}, "was paused or resumed"),
        ({"trace": PowerTrace(1.0, [], {}, {"finetune": 0.0})}, "no sample of power is within"),
        ({"trace": PowerTrace(1.0, [2.0, 1.0], {}, {"finetune": 0.0})}, "samples do not rise"),
        ({"trace": PowerTrace(1.0, [float("nan")], {}, {"finetune": 0.0})}, "do not rise"),
    ],
)
def test_samples_that_the_record_does_not_hold_are_named(
    changes: dict[str, object], reason: str
) -> None:
    found = findings(replace(traced(), **changes))  # type: ignore[arg-type]
    for rule in ("one measurement a second", "energy of the run"):
        assert found[rule].state == "fail"
        assert reason in found[rule].text


def test_parts_of_a_node_and_estimates_fail() -> None:
    parts = findings(traced(domain="gpu:0", source="nvml_counter"))
    whole = parts["the whole node, at its power supply"]
    assert whole.text == "not met: gpu by nvml_counter are parts of the node"
    assert parts["a power meter within 5 %"].state == "cannot know"
    guessed = findings(traced(source="codecarbon_estimate"))["a power meter within 5 %"]
    assert guessed.text == "not met: codecarbon_estimate is estimated, not measured"
    assert guessed.state == "fail"
    unread = findings(replace(traced(), phases={"finetune": reading(None, 70.0, "rapl")}))
    assert unread["all nodes"].text == "not met: cpu:0: not read"


def test_a_sample_that_could_not_be_read_has_no_energy() -> None:
    found = findings(traced(watts=None))["energy of the run"]
    assert (found.state, found.text) == ("fail", "not met: a sample of power could not be read")


def test_the_network_between_nodes_is_not_known() -> None:
    two = replace(traced(), placement=Placement([0, 1], ["cpu", "cpu"], [1, 1]))
    assert findings(two)["interconnects"].state == "cannot know"
    assert findings(two)["all nodes"].text == "2 of 2"


def test_the_score_leaves_out_the_fastest_and_the_slowest_run() -> None:
    runs = [
        traced(70.0 + number, float(watts), seed=number)
        for number, watts in enumerate((10, 50, 60, 1000))
    ]
    *_, score = check_mlperf(runs)
    assert score.name == "resnet18 baseline, all runs"
    (finding,) = score.findings
    assert finding.state == "pass"
    middle = (50 * 72 + 60 * 73) / 2
    assert finding.text == f"{middle / 1000:.3g} kJ, the mean of 2 runs"
    (few,) = check_mlperf(runs[:2])[-1].findings
    assert few.text == "not met: 2 of at least 3 runs; raise --energy-seeds"
    (lacking,) = check_mlperf([*runs, cell(seed=9)])[-1].findings
    assert lacking.text == "not met: 1 of 5 runs have no sum of samples"
