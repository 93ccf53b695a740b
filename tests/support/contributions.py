"""Runs as others contribute them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from energybench.records.contribution import contributed
from energybench.records.record import RunRecord
from support.saved_runs import cell

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MACHINE: dict[str, Any] = {
    "cpu": "a processor",
    "logical_cores": 2,
    "ram_gib": 8,
    "python": "3.12.1",
    "versions": {"torch": "2.13.0", "torchvision": "0.28.0", "energybench": "0.1.0"},
}
PUE = 1.58


def own(
    method: str = "baseline", seed: int = 0, joules: float | None = 1000.0, **rest: Any
) -> RunRecord:
    """A cell of a machine that says all about itself, under the default protocol."""
    fields: dict[str, Any] = {"machine": MACHINE, "pue": PUE}
    return cell(method, seed, joules, **(fields | rest))


def complete(**rest: Any) -> list[RunRecord]:
    """Cells that keep every rule: five seeds, a repeated baseline, one method that saves 40 %."""
    found = []
    for seed in range(5):
        found += [own(seed=seed, **rest), own("prune", seed, 600.0 + seed, **rest)]
    return [*found, own("baseline-again", 0, 1010.0, **rest)]


def save_run(path: Path, records: Iterable[RunRecord], dirty: bool = False) -> str:
    """A file as pytest-benchmark writes it in a clone."""
    benchmarks = [{"extra_info": {"energybench": record.to_json()}} for record in records]
    info = {"id": COMMIT, "dirty": dirty}
    data = {"benchmarks": benchmarks, "commit_info": info, "datetime": "2026-11-24T10:00:00+00:00"}
    path.write_text(json.dumps(data))
    return str(path)


def save_contribution(
    path: Path, records: Iterable[RunRecord], author: str = "Ada Lovelace <ada@example.org>"
) -> str:
    data = contributed(list(records), author, COMMIT, "2026-11-24", "5.3.1")
    path.write_text(json.dumps(data, indent=1))
    return str(path)
