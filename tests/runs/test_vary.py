"""What a seed changes: the order of the batches, or pretraining and splits as well."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.tiny_cells import run_cell, tiny_run, tiny_session

from energybench.compression.base import Baseline
from energybench.config import Cell, RunConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.records.record import RunRecord
from energybench.registry import METHODS
from energybench.report.rows import rows
from energybench.runs.executors.in_process import InProcess
from energybench.runs.facts import cell_key
from energybench.runs.session import Session
from energybench.runs.startup import open_session
from energybench.workloads.images.weights import trainer


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        monkeypatch.setattr(METHODS, "get", lambda name: Baseline)
        yield found


def block(session: Session, seed: int) -> tuple[RunRecord, RunRecord]:
    """Return the baseline of a seed, and a method that trains as the baseline does."""
    run = tiny_run(session)
    baseline = run_cell(Cell("resnet18", "baseline", seed), run=run)
    return baseline, run_cell(Cell("resnet18", "stego", seed), run=run)


def test_a_seed_varies_pretraining_and_splits_and_pairs_its_block(session: Session) -> None:
    first, second = block(session, 0), block(session, 1)
    for baseline, method in (first, second):
        assert baseline.status == method.status == "ok"
        assert baseline.protocol.vary == method.protocol.vary == "all"
        assert baseline.weights.key == method.weights.key
        assert method.disagreements == 0, "the same weights on the same test images"
    assert first[0].weights.key != second[0].weights.key
    ours, theirs = session.of_seed(0).data, session.of_seed(1).data
    assert ours.fingerprint == session.data.fingerprint != theirs.fingerprint
    found = rows([*first, *second])
    assert [sorted(row) for row in found.values()] == [[0, 1], [0, 1]], "seeds share their rows"


def test_the_keys_of_cells_are_known_before_anything_is_trained(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[str]:
        executor = InProcess(session)
        (prepared,) = executor.prepare(["resnet18"])
        cells = [Cell("resnet18", "baseline", seed) for seed in (0, 1)]
        return [cell_key(cell, session.config, executor.facts, prepared) for cell in cells]

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "pretrain", lambda *_: pytest.fail("trained for a key"))
        before = keys()
    run_cell(Cell("resnet18", "baseline", 1), session)
    assert keys() == before
    assert len({*before}) == 2


def test_order_alone_starts_every_seed_from_seed_0s_weights(session: Session) -> None:
    config = replace(session.config, vary="order")
    ordered = replace(session, config=config)
    records = [run_cell(Cell("resnet18", "baseline", seed), ordered) for seed in (0, 1)]
    assert [record.protocol.vary for record in records] == ["order", "order"]
    assert records[0].weights.key == records[1].weights.key
    assert records[0].epochs[0].train_loss != records[1].epochs[0].train_loss
    as_all = run_cell(Cell("resnet18", "baseline"), session)
    assert as_all.weights.key == records[0].weights.key
    assert as_all.epochs[0].train_loss == records[0].epochs[0].train_loss, "seed 0 stays as it was"


def test_given_weights_vary_in_nothing_but_order(session: Session, tmp_path: Path) -> None:
    weights = str(tmp_path)
    assert replace(session, config=replace(session.config, weights=weights)).vary == "order"
    with pytest.raises(UsageError, match="vary is all, and every seed starts"):
        open_session(RunConfig(device="cpu", weights=weights, vary="all"), Progress(None))
