"""What a cell leaves when it cannot go on."""

import gc
import json
import logging
import socket
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from energybench.bench import Bench
from energybench.cell import run_cell
from energybench.compression.base import Baseline, Score
from energybench.config import Cell, FinetuneConfig, RunConfig
from energybench.data.digits import open_digits
from energybench.hardware import describe_machine
from energybench.meters.opening import open_meters
from energybench.meters.replay import ReplayMeter
from energybench.meters.window import MeterSet
from energybench.models.zoo import ModelSpec
from energybench.progress import Progress
from energybench.record import CarbonIntensity, CompressionReport, from_json
from energybench.registry import METHODS, MODELS

CELL = Cell("resnet18", "stego")


class Tiny(ModelSpec):
    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))


class Failing(Baseline):
    """Raises after the first step, and remembers the model without keeping it."""

    error: BaseException
    model: weakref.ref[nn.Module]

    def compress(self, model: nn.Module, score: Score, tolerance_pp: float) -> CompressionReport:
        Failing.model = weakref.ref(model)
        return super().compress(model, score, tolerance_pp)

    def after_step(self, model: nn.Module) -> None:
        raise Failing.error


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """A run of a tiny model, with `Failing` for stego."""
    spec = Tiny("resnet18", 0, "1", small_image_size=8)
    method: Callable[[str], type[Baseline]] = {"baseline": Baseline, "stego": Failing}.__getitem__
    monkeypatch.setattr(MODELS, "get", lambda name: spec)
    monkeypatch.setattr(METHODS, "get", method)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path))
    config = RunConfig(finetune=FinetuneConfig(max_epochs=1))
    meters = MeterSet({"replay": ReplayMeter()})
    cpu = torch.device("cpu")
    yield Bench(config, open_digits(), cpu, meters, describe_machine(), Progress(None))
    meters.close()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried..."), "lower --energy-batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "lower --energy-batch-size"),
        (RuntimeError("CUDA error: device lost\nCompile with..."), "CUDA error: device lost"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_a_failure_keeps_the_record_and_frees_the_model(
    bench: Bench, error: Exception, says: str
) -> None:
    Failing.error = error
    record = run_cell(CELL, bench)
    assert record.status == "failed"
    assert record.error is not None
    assert says in record.error
    assert "\n" not in record.error
    assert set(record.phases) == {"load", "compress", "finetune"}
    assert record.kwh is not None
    error.__traceback__ = None  # it is the test that keeps this one
    gc.collect()
    assert Failing.model() is None


def test_an_interrupt_waits_until_the_timing_is_taken(bench: Bench) -> None:
    Failing.error = KeyboardInterrupt()
    done = []

    def timer(timed: Callable[[], None]) -> None:
        timed()
        done.append("timed")

    with pytest.raises(KeyboardInterrupt):
        run_cell(CELL, bench, timer)
    assert done == ["timed"]


def test_a_failed_baseline_fails_the_cells_that_need_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing.error = ValueError("odd")
    monkeypatch.setattr(METHODS, "get", lambda name: Failing)
    record = run_cell(CELL, bench)
    assert record.error == "no reference: resnet18-baseline-seed0 failed: ValueError: odd"
    assert [baseline.status for baseline in bench.on_demand] == ["failed"]


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.pretrained("resnet18")
    (tmp_path / "baselines").write_text("a file where a folder is wanted")
    with caplog.at_level(logging.WARNING):
        record = run_cell(CELL.reference, bench)
    assert record.status == "ok"
    assert "is not cached" in caplog.text


def test_a_whole_cell_needs_no_network(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured by all that `auto` finds here, with every way out refused."""
    tried: list[object] = []

    def refuse(*arguments: object, **named: object) -> None:
        tried.append(arguments)
        raise OSError("no network")

    for name in ("connect", "connect_ex", "sendto", "listen"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(METHODS, "get", lambda name: Baseline)
    with open_meters(["auto"]) as meters:
        record = run_cell(CELL.reference, replace(bench, meters=meters))
    assert (record.status, record.error) == ("ok", None)
    assert record.kwh is not None
    assert record.kwh > 0
    assert tried == []


def test_power_idle_and_emissions_are_in_the_record(bench: Bench) -> None:
    measure = replace(bench.config.measure, trace=True)
    bench = replace(
        bench,
        config=replace(bench.config, measure=measure),
        carbon=CarbonIntensity("FRA", 0.05, "a test"),
    )
    bench.meters.idle_watts = {"cpu:0": 3.0}
    record = run_cell(CELL.reference, bench)
    reading = record.phases["finetune"]
    assert record.idle_watts == {"cpu:0": 3.0}
    assert reading.net_joules["cpu:0"] == pytest.approx(
        (reading.it_joules or 0.0) - 3.0 * reading.duration_s
    )
    assert record.kwh_net is not None
    assert record.kwh is not None
    assert record.kwh_net < record.kwh
    assert record.kg_co2e == pytest.approx(0.05 * record.kwh)
    assert record.trace is not None
    assert list(record.trace.marks) == ["load", "compress", "finetune", "evaluate"]
    assert len(record.trace.time_s) == len(record.trace.watts["cpu:0"]) >= 1
    headline = record.headline()
    assert headline["kwh_net"] == record.kwh_net
    assert headline["kg_co2e"] == record.kg_co2e
    assert from_json(json.loads(json.dumps(record.to_json()))).to_json() == json.loads(
        json.dumps(record.to_json())
    )


def test_idle_is_measured_unless_it_is_skipped(bench: Bench) -> None:
    quiet = replace(bench.config.measure, idle_s=0.05)
    measured = replace(bench, config=replace(bench.config, measure=quiet))
    skipped = replace(bench, config=replace(bench.config, measure=replace(quiet, idle_s=0.0)))
    skipped.measure_idle()
    assert bench.meters.idle_watts == {}
    measured.measure_idle()
    assert bench.meters.idle_watts["cpu:0"] == pytest.approx(50.0 / 0.05, rel=0.5)
