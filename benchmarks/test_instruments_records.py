"""Time the writing and the reading of records.

    pytest -s benchmarks/test_instruments_records.py

Goals: compare two runs of 10,000 cells in 3 s and report the matrix in 10 s, each as a command from
start to end; write a cell to the journal in 5 ms, beside one bare write that waits for the disk.
"""

import copy
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from energybench.records.journal import Entry, Journal
from energybench.records.saved import read_run

MATRIX = Path(__file__).parents[1] / "results" / "digits-cpu-2core.json"
CELLS = 10_000


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory) -> list[str]:
    """Write two files of many cells: the matrix repeated by seed, energies with 3 % of noise."""
    chance = random.Random(1)
    folder = tmp_path_factory.mktemp("runs")
    data = json.loads(MATRIX.read_text())
    records = [record.to_json() for record in read_run(MATRIX)]
    paths = []
    for name in ("old", "new"):
        benchmarks = []
        for number in range(CELLS):
            benchmark = copy.copy(data["benchmarks"][number % len(records)])
            record = copy.deepcopy(records[number % len(records)])
            record["seed"] = number // len(records)
            joules = record["phases"]["finetune"]["joules"]
            noise = chance.lognormvariate(0.0, 0.03)
            record["phases"]["finetune"]["joules"] = {k: v * noise for k, v in joules.items()}
            benchmark["extra_info"] = {"energybench": record}
            benchmarks.append(benchmark)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(data | {"benchmarks": benchmarks}, indent=4))
        paths.append(str(path))
    return paths


def run(*arguments: str) -> None:
    """Run one `energybench` command in a process of its own."""
    code = "import sys; from energybench.app.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_compare_of_ten_thousand_cells(benchmark, two_runs):
    """Run `energybench compare` on two files of 10,000 cells."""
    benchmark.pedantic(lambda: run("compare", *two_runs), rounds=3, warmup_rounds=1)
    print(f"\ncompare of 2 x {CELLS} cells: {benchmark.stats.stats.min:.2f} s")
    assert benchmark.stats.stats.min < 3.0


def test_report_of_the_matrix(benchmark, tmp_path):
    """Run `energybench report` with every figure."""
    page = str(tmp_path / "report.html")
    benchmark.pedantic(lambda: run("report", str(MATRIX), "-o", page), rounds=3, warmup_rounds=1)
    print(f"\nreport of the matrix: {benchmark.stats.stats.min:.2f} s")
    assert benchmark.stats.stats.min < 10.0


def test_journal(benchmark, tmp_path):
    """Write one cell to the journal, and as many bytes to a file that is fsynced."""
    record = max(read_run(MATRIX), key=lambda one: len(one.epochs))
    journal = Journal(tmp_path / "journal.jsonl")
    entry = Entry("key", record, None, "2026-01-01T00:00:00+00:00")
    benchmark.pedantic(lambda: journal.append(entry), rounds=100, warmup_rounds=5)
    size = journal.path.stat().st_size // 105
    handle = os.open(tmp_path / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    bare = []
    for _ in range(100):
        start = time.perf_counter()
        os.write(handle, b"x" * size)
        os.fsync(handle)
        bare.append(time.perf_counter() - start)
    os.close(handle)
    ours, theirs = benchmark.stats.stats.median, sorted(bare)[50]
    print(f"\na cell in the journal: {1e3 * ours:.2f} ms, {ours / theirs:.1f} x a bare write")
    benchmark.extra_info["over_bare_write"] = ours / theirs
    assert ours < 0.005
