"""What a cell leaves when it cannot go on."""

import errno
import gc
import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from support.tiny_cells import Failing, MemoryJournal, run_cell, tiny_run, tiny_session
from torch import nn

from energybench.compression.base import Baseline
from energybench.compression.prune import Prune
from energybench.config import Cell, FinetuneConfig
from energybench.energy.carbon import CarbonIntensity
from energybench.energy.intensity.hours import Hour, HourlyIntensity
from energybench.energy.machine import gpu_id
from energybench.energy.opening import open_meters
from energybench.interruption import interrupt, remembered
from energybench.records.flat_keys import flat_keys
from energybench.records.record import EpochRecord, from_json
from energybench.registry import METHODS
from energybench.runs.executors.in_process import InProcess
from energybench.runs.facts import baseline_file, cell_key
from energybench.runs.jobs import Job, Outcome
from energybench.runs.references import References
from energybench.runs.session import Session
from energybench.training.finetune import finetune
from energybench.training.plan import Finetuning
from energybench.workloads.base import Split

CELL = Cell("resnet18", "stego")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried..."), "lower batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "lower batch_size"),
        (RuntimeError("unable to mmap 9 bytes: Cannot allocate memory (12)"), "lower batch_size"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "lower batch_size"),
        (RuntimeError("CUDA error: device lost\nCompile with..."), "CUDA error: device lost"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_a_failure_keeps_the_record_and_frees_the_model(
    session: Session, error: Exception, says: str
) -> None:
    Failing.error = error
    record = run_cell(CELL, session)
    assert record.status == "failed"
    assert record.error is not None
    assert says in record.error
    assert "\n" not in record.error
    assert set(record.phases) == {"load", "compress", "finetune"}
    assert record.kwh is not None
    error.__traceback__ = None  # it is the test that keeps this one
    gc.collect()
    assert Failing.model() is None


def test_an_interrupted_cell_is_kept_before_the_interruption_goes_on(session: Session) -> None:
    Failing.error = KeyboardInterrupt("SIGTERM")
    journal = MemoryJournal()
    with pytest.raises(KeyboardInterrupt) as raised:
        run_cell(CELL, session, tiny_run(session, journal))
    names = {one.name for one in raised.traceback}
    assert "after_step" not in names  # frames of training would keep the model
    kept = journal.records
    assert [(record.method, record.status) for record in kept] == [
        ("baseline", "ok"),
        ("stego", "interrupted"),
    ]
    assert set(kept[1].phases) == {"load", "compress", "finetune"}
    assert from_json(json.loads(json.dumps(kept[1].to_json()))).status == "interrupted"


class Swallowing(Baseline):
    """Is interrupted in its first step, within code that swallows it, as a finalizer does."""

    def after_step(self, model: nn.Module) -> None:
        with suppress(KeyboardInterrupt):
            interrupt("SIGHUP")


@pytest.mark.parametrize("hidden_by", [None, AttributeError("no reading")])
def test_an_interruption_that_something_hides_still_ends_the_cell(
    session: Session, monkeypatch: pytest.MonkeyPatch, hidden_by: Exception | None
) -> None:
    class Hiding(Swallowing):
        def after_step(self, model: nn.Module) -> None:
            super().after_step(model)
            if hidden_by is not None:
                raise hidden_by

    monkeypatch.setattr(METHODS, "get", {"baseline": Baseline, "stego": Hiding}.__getitem__)
    journal = MemoryJournal()
    with remembered(), pytest.raises(KeyboardInterrupt, match="SIGHUP"):
        run_cell(CELL, session, tiny_run(session, journal))
    cut = journal.records[-1]
    assert (cut.status, cut.error) == ("interrupted", "interrupted (SIGHUP)")
    assert "finetune" in cut.phases


class Blinded(Prune):
    """Prunes, and loses its accuracy at the end."""

    def finalize(self, model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.data.zero_()


def test_a_record_counts_the_items_lost_and_how_sure_its_setting_is(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"baseline": Baseline, "prune": Blinded}
    monkeypatch.setattr(METHODS, "get", made.__getitem__)
    run = tiny_run(session)
    record, baseline = run_cell(Cell("resnet18", "prune"), session, run), run.unclaimed[0]
    assert record.test is not None
    assert baseline.test is not None
    for one in (record.test, baseline.test):
        assert one.right is not None
        assert one.right.count("1") == round(one.value * one.items)
    assert record.lost is not None
    assert record.gained is not None
    assert record.drop == pytest.approx(100 * (record.lost - record.gained) / record.test.items)
    headline = flat_keys(record)
    assert headline["drop_low"] < headline["drop"] < headline["drop_high"]
    assert 0.0 <= headline["drop_p"] < 0.05
    assert record.compression is not None
    assert record.compression.interval is not None
    low, high = record.compression.interval
    assert low <= record.compression.settings["fraction"] <= high  # type: ignore[operator]
    assert baseline.paired_drop is None
    assert from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_failed_baseline_fails_the_cells_that_need_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing.error = ValueError("odd")
    monkeypatch.setattr(METHODS, "get", lambda name: Failing)
    run = tiny_run(session)
    record = run_cell(CELL, session, run)
    assert record.error == "no reference: resnet18-baseline-seed0 failed: ValueError: odd"
    assert [baseline.status for baseline in run.unclaimed] == ["failed"]


@pytest.fixture
def uncompressed(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The session, with `Baseline` for every method."""
    monkeypatch.setattr(METHODS, "get", lambda name: Baseline)
    return session


def test_a_cell_before_its_baseline_is_kept_and_judged_after_it(uncompressed: Session) -> None:
    journal = MemoryJournal()
    run = tiny_run(uncompressed, journal)
    early = run.result(CELL, baseline_follows=True)
    assert early.waits
    assert early.record.reference_value is None
    assert [(one.method, one.reference_value) for one in journal.records] == [("stego", None)]
    assert [one.method for one in run.unclaimed] == ["stego"]
    run.keep(run.result(CELL.reference))
    late = run.result(CELL, baseline_follows=True)
    run.keep(late)
    assert not late.waits
    assert late.record.phases is early.record.phases, "it ran once"
    assert (late.record.drop, late.record.reference_source) == (0.0, "this run")
    assert run.unclaimed == []
    assert [one.method for one in journal.records] == ["stego", "baseline", "stego"]
    latest = journal.read().counted.values()
    assert {entry.record.method: entry.record.drop for entry in latest} == {
        "stego": 0.0,
        "baseline": 0.0,
    }


def test_of_two_runs_on_one_journal_the_first_result_of_a_cell_counts(
    uncompressed: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = MemoryJournal()
    first, second = (tiny_run(uncompressed, journal, resume=True) for _ in range(2))
    submit = second.executor.submit

    def meanwhile(job: Job) -> "Future[Outcome]":
        done = submit(job)
        if job.cell == CELL.reference:
            first.keep(first.result(CELL.reference))
        return done

    monkeypatch.setattr(second.executor, "submit", meanwhile)
    result = second.result(CELL)
    second.keep(result)
    counted = {entry.record.method: entry.record for entry in journal.read().counted.values()}
    assert [one.method for one in journal.records] == ["baseline", "baseline", "stego"]
    assert counted["baseline"].id == journal.records[0].id != journal.records[1].id
    assert result.record.reference_id == counted["stego"].reference_id == counted["baseline"].id
    assert [one.id for one in second.unclaimed] == [counted["baseline"].id], "of the live table"


def test_a_cell_that_waited_when_the_run_ended_is_judged_by_the_next_run(
    uncompressed: Session,
) -> None:
    journal = MemoryJournal()
    early = tiny_run(uncompressed, journal).result(CELL, baseline_follows=True)
    again = tiny_run(uncompressed, journal, resume=True)
    assert again.result(CELL, baseline_follows=True).waits
    again.keep(again.result(CELL.reference))
    late = again.result(CELL)
    again.keep(late)
    assert late.entry is not None
    assert late.outcome.seconds == early.record.phases["finetune"].duration_s
    assert late.record.drop == 0.0
    assert late.record.phases == early.record.phases
    third = tiny_run(uncompressed, journal, resume=True)
    third.keep(third.result(CELL))
    assert [one.method for one in journal.records] == ["stego", "baseline", "stego"]


def test_a_cell_that_waited_for_a_baseline_that_fails_keeps_its_measurements(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing.error = ValueError("odd")
    methods = {"baseline": Failing, "stego": Baseline}
    monkeypatch.setattr(METHODS, "get", methods.__getitem__)
    run = tiny_run(session)
    assert run.result(CELL, baseline_follows=True).waits
    run.keep(run.result(CELL.reference))
    record = run.result(CELL).record
    assert record.error == "no reference: resnet18-baseline-seed0 failed: ValueError: odd"
    assert (record.status, record.kwh is None) == ("failed", False)


def test_equal_epochs_need_the_baseline_first_and_it_runs_once(uncompressed: Session) -> None:
    run = tiny_run(uncompressed)
    first = run.result(CELL, budget="equal", baseline_follows=True)
    assert not first.waits
    (on_demand,) = run.unclaimed
    assert run.result(CELL.reference, budget="equal").record is on_demand
    assert run.unclaimed == []


def test_no_earlier_sessions_baseline_judges_a_cell_whose_own_follows(
    uncompressed: Session,
) -> None:
    run_cell(CELL.reference, uncompressed)  # now in the cache
    assert tiny_run(uncompressed).result(CELL, baseline_follows=True).waits


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session.pretrained("resnet18")
    (tmp_path / "baselines").write_text("a file where a folder is wanted")
    with caplog.at_level(logging.WARNING):
        record = run_cell(CELL.reference, session)
    assert record.status == "ok"
    assert "is not cached" in caplog.text


def test_a_whole_cell_needs_no_network(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
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
        record = run_cell(CELL.reference, replace(session, meters=meters))
    assert (record.status, record.error) == ("ok", None)
    assert record.kwh is not None
    assert record.kwh > 0
    assert tried == []


def test_power_idle_and_emissions_are_in_the_record(session: Session) -> None:
    measure = replace(session.config.measure, trace=True)
    session.meters.idle_watts = {"cpu:0": 3.0}
    session = replace(
        session,
        config=replace(session.config, measure=measure),
        carbon=CarbonIntensity("FRA", 0.05, "a test"),
        idle_watts={"cpu:0": 3.0},
    )
    record = run_cell(CELL.reference, session)
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
    headline = flat_keys(record)
    assert headline["kwh_net"] == record.kwh_net
    assert headline["kg_co2e"] == record.kg_co2e
    assert from_json(json.loads(json.dumps(record.to_json()))).to_json() == json.loads(
        json.dumps(record.to_json())
    )


def test_emissions_by_the_hour_are_in_the_record_or_the_reason_is(session: Session) -> None:
    def grid(*grams: float) -> HourlyIntensity:
        """An intensity for each hour from the one that runs now."""
        first = time.time() // 3600 * 3600
        hours = [
            Hour(first + 3600 * place, first + 3600 * (place + 1), value, place)
            for place, value in enumerate(grams)
        ]
        return HourlyIntensity(CarbonIntensity("GB", None, "a test"), hours, "gb.csv")

    measure = replace(session.config.measure, embodied_g_per_hour=36.0)
    session = replace(session, config=replace(session.config, measure=measure))
    record = run_cell(CELL.reference, replace(session, carbon=grid(200.0, 200.0)))
    assert record.kwh is not None
    assert record.kg_co2e == pytest.approx(0.2 * record.kwh)
    assert set(record.intensities) == set(record.spans) == set(record.phases)
    (span,) = record.spans["finetune"]
    assert span.duration_s == record.phases["finetune"].duration_s
    assert span.start_s == pytest.approx(time.time(), abs=60.0)
    assert record.kg_co2e_embodied == pytest.approx(1e-5 * span.duration_s)
    again = from_json(json.loads(json.dumps(record.to_json())))
    assert flat_keys(again)["kg_co2e"] == record.kg_co2e
    past = HourlyIntensity(CarbonIntensity("GB", None, "a test"), [Hour(0, 3600, 1, 2)], "gb.csv")
    late = run_cell(CELL.reference, replace(session, carbon=past))
    assert (late.status, late.kg_co2e) == ("ok", None)
    assert late.kwh is not None
    assert str(late.intensities["finetune"].reason).startswith("gb.csv has no intensity at 20")


def test_idle_is_measured_unless_it_is_skipped(session: Session) -> None:
    quiet = replace(session.config.measure, idle_s=0.05)
    measured = replace(session, config=replace(session.config, measure=quiet))
    skipped = replace(session, config=replace(session.config, measure=replace(quiet, idle_s=0.0)))
    assert skipped.with_idle_watts().idle_watts == {}
    assert measured.with_idle_watts().idle_watts["cpu:0"] == pytest.approx(50.0 / 0.05, rel=0.5)


class Halved(Baseline):
    """Says that its weights fit narrower arithmetics."""

    required_precision: str | None = None

    def precisions(self) -> tuple[str, ...]:
        return ("bf16", "tf32")


class InBf16(Halved):
    """Stands for one arithmetic."""

    required_precision = "bf16"


@pytest.mark.parametrize(
    ("own", "natives", "expected"),
    [
        ("fp32", {"bf16", "tf32"}, ["bf16", "tf32", "fp32"]),
        ("fp32", {"tf32"}, ["tf32", "fp32"]),
        ("fp32", set(), ["fp32"]),
        ("tf32", {"bf16", "tf32"}, ["bf16", "tf32"]),
        ("bf16", {"bf16", "tf32"}, ["bf16"]),
    ],
)
def test_narrower_arithmetic_is_chosen_among_what_is_exact_and_native(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    natives: set[str],
    expected: list[str],
) -> None:
    monkeypatch.setattr(
        "energybench.runs.session.native",
        lambda name, device: None if name in natives else "not here",
    )
    session = replace(session, config=replace(session.config, precision=own))
    assert session.precisions(Halved()) == expected
    assert session.precisions(Baseline()) == [own]
    assert session.precisions(InBf16()) == ["bf16"]


def test_the_cheapest_arithmetic_is_found_and_its_search_is_on_the_bill(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energybench.runs.session.native", lambda name, device: None)
    monkeypatch.setattr(METHODS, "get", {"baseline": Baseline, "stego": Halved}.__getitem__)
    session = replace(
        session, config=replace(session.config, finetune=FinetuneConfig(max_epochs=1))
    )
    session.meters.idle_watts = {}
    run = tiny_run(session)
    record = run_cell(CELL, session, run)
    assert record.status == "ok"
    assert list(record.phases) == ["load", "compress", "calibrate", "finetune", "evaluate"]
    assert record.calibration is not None
    assert record.precision == record.calibration["chosen"]
    assert set(record.calibration["candidates"]) == {"bf16", "tf32", "fp32"}
    assert record.kwh_total is not None
    assert record.kwh is not None
    assert record.kwh_total > record.kwh
    (baseline,) = run.unclaimed
    assert (baseline.precision, baseline.calibration) == ("fp32", None)


def test_a_control_trains_in_its_own_arithmetic(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(METHODS, "get", {"baseline": Baseline, "stego": InBf16}.__getitem__)

    def remember(model: nn.Module, compression: object, run: Finetuning) -> list[EpochRecord]:
        seen.append(run.precision)
        return finetune(model, InBf16(), run)

    monkeypatch.setattr("energybench.runs.fine_tuning.finetune", remember)
    record = run_cell(CELL, session)
    assert (record.status, record.precision) == ("ok", "bf16")
    assert "calibrate" not in record.phases
    assert seen == ["fp32", "bf16"], "the reference, then the control"


def test_a_cached_baseline_is_compared_at_this_runs_pue(session: Session) -> None:
    earlier = run_cell(CELL.reference, session)
    measure = replace(session.config.measure, pue=1.1)
    later = replace(session, config=replace(session.config, measure=measure))
    run = tiny_run(later)
    run_cell(CELL, later, run)
    found = run.references.cached["resnet18", 0]
    assert (earlier.pue, found.pue) == (1.58, 1.1)
    assert earlier.kwh is not None
    assert found.kwh == pytest.approx(earlier.kwh * 1.1 / 1.58)


def test_references_are_this_runs_before_the_journals_before_the_caches(session: Session) -> None:
    journal = MemoryJournal()
    Failing.error = ValueError("odd")
    first = run_cell(CELL.reference, session, tiny_run(session, journal))
    (key,) = [entry.key for entry in journal.entries]
    executor = InProcess(session)
    (prepared,) = executor.prepare(["resnet18"])
    assert key == cell_key(CELL.reference, session.config, executor.facts, prepared)
    file = baseline_file(CELL.reference, session.config, executor.facts, prepared)
    protocol = executor.facts.protocol(session.config)
    lookup = CELL.reference, key, file, protocol

    without_journal = References(lambda key: None).find(*lookup)
    assert without_journal is not None
    assert without_journal.source == "cache"
    references = References({key: first}.get)
    journaled = references.find(*lookup)
    assert journaled is not None
    assert (journaled.source, journaled.record) == ("journal", first)
    mine = references.add(replace(first, error="mine"))
    assert references.find(*lookup) == mine
    assert mine.source == "this run"
    assert References(lambda key: None).find(*(CELL.reference, key, "no-file", protocol)) is None


def test_the_gpu_that_is_trained_on_is_held_also_where_nobody_reads_it(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path / "locks"))
    uuid = "8932f937-d72c-4106-c12f-20bd9faed9f6"
    monkeypatch.setattr("energybench.runs.session.gpu_uuid", lambda device: uuid)
    session = replace(session, device=torch.device("cuda", 0))
    with session.exclusive_use(wait=False, say=pytest.fail):
        held = {path.stem for path in (tmp_path / "locks").glob("*.lock")}
    assert held == {"cpu", f"gpu-{gpu_id(f'GPU-{uuid}')}"}


def test_compiling_is_a_phase_and_on_the_bill(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr("energybench.runs.session.native", lambda name, device: None)
    monkeypatch.setattr(METHODS, "get", {"baseline": Baseline, "stego": Halved}.__getitem__)
    session.meters.idle_watts = {}
    record = run_cell(CELL, replace(session, config=replace(session.config, compile=True)))
    assert (record.status, record.error) == ("ok", None)
    phases = ["load", "compress", "compile", "calibrate", "finetune", "evaluate"]
    assert list(record.phases) == phases
    joules = [record.phases[name].it_joules or 0.0 for name in phases]
    assert record.kwh_total == pytest.approx(sum(joules[1:5]) * record.pue / 3.6e6)
    assert record.kwh == pytest.approx(joules[4] * record.pue / 3.6e6)
    assert record.protocol.compile is True


def test_a_network_that_does_not_compile_fails_its_cell(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: object, inputs: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    record = run_cell(
        CELL.reference, replace(session, config=replace(session.config, compile=True))
    )
    assert record.status == "failed"
    assert record.error is not None
    assert "run without compile" in record.error
    assert list(record.phases) == ["load", "compress", "compile"]


def test_the_memory_format_is_in_the_record(session: Session) -> None:
    asked = replace(session, config=replace(session.config, memory_format="channels_last"))
    assert run_cell(CELL.reference, asked).memory_format == "channels_last"
    record = run_cell(CELL.reference, session)
    assert (record.protocol.memory_format, record.memory_format) == ("auto", "contiguous")
    keys = []
    for one in (asked, session):
        executor = InProcess(one)
        (prepared,) = executor.prepare(["resnet18"])
        keys.append(cell_key(CELL, one.config, executor.facts, prepared))
    assert keys[0] != keys[1]


def test_a_cell_that_waited_for_its_data_says_so(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energybench.training.feed.Feed.waited_s", lambda self: 0.0)
    assert "data_bound" not in run_cell(CELL.reference, session).flags
    monkeypatch.setattr("energybench.training.feed.Feed.waited_s", lambda self: 1e9)
    record = run_cell(CELL.reference, session)
    assert record.data_wait_share == 1.0
    assert "data_bound" in record.flags


def test_more_is_evaluated_at_once_on_a_gpu(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sizes(session: Session) -> list[int]:
        splits: tuple[Split, ...] = ("train", "validation", "test")
        return [len(next(iter(session.batches(split, "resnet18", 0)))[1]) for split in splits]

    small = replace(session, config=replace(session.config, finetune=FinetuneConfig(batch_size=16)))
    assert sizes(small) == [16, 16, 16]
    on_gpu = replace(small, device=torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    assert sizes(on_gpu) == [16, 64, 64]
    assert on_gpu.evaluation_batch_size == 64
