"""Records and files of runs that nobody measured, for what reads them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from energybench.energy.readings import EnergyReading
from energybench.records.record import CompressionReport, EpochRecord, HeldOutTest, RunRecord

PROTOCOL = {
    "learning_rate": 0.01,
    "max_epochs": 50,
    "budget": "early-stopping",
    "tolerance": 1.0,
    "pue": 1.0,
    "precision": "fp32",
    "device": "cpu",
    "device_name": "a processor",
    "threads": 2,
}


def reading(joules: float | None, seconds: float, source: str) -> EnergyReading:
    return EnergyReading(seconds, {"cpu:0": joules}, {"cpu:0": source})


def cell(
    method: str = "baseline",
    seed: int = 0,
    joules: float | None = 1000.0,
    *,
    model: str = "resnet18",
    seconds: float = 10.0,
    epochs: int = 4,
    steps: int = 7,
    correct: int = 98,
    reference: int = 98,
    search_joules: float = 0.0,
    source: str = "rapl",
    compression: CompressionReport | None = None,
    dataset: dict[str, Any] | None = None,
    weights: dict[str, Any] | None = None,
    machine: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
    **protocol: Any,
) -> RunRecord:
    """A finished cell of 100 test images; `changes` replace whole fields of the record."""
    fields: dict[str, Any] = {
        "model": model,
        "method": method,
        "seed": seed,
        "dataset": dataset or {"name": "digits", "fingerprint": "f00", "image_size": 32},
        "weights": weights or {"source": "digits pretraining", "key": "k00"},
        "protocol": PROTOCOL | protocol,
        "machine": machine or {"cpu": "a processor", "logical_cores": 2, "ram_gib": 8},
        "phases": {
            "compress": reading(search_joules, 1.0, source),
            "finetune": reading(joules, seconds, source),
        },
        "epochs": [
            EpochRecord(number, 0.5, 0.4, 0.9, steps, 64 * steps, 1.0, None, 448.0, None)
            for number in range(1, epochs + 1)
        ],
        "best_epoch": 1,
        "compression": compression or CompressionReport(method, {}, 0.0, None, None),
        "test": HeldOutTest(correct / 100, correct, 100, ""),
        "reference_accuracy": reference / 100,
        "reference_correct": reference,
    }
    return RunRecord(**(fields | (changes or {})))


def failed(method: str, seed: int = 0, error: str = "the loss is not finite") -> RunRecord:
    return cell(method, seed, changes={"status": "failed", "error": error, "test": None})


def save(path: Path, records: Iterable[RunRecord], **extra: Any) -> str:
    """A file as pytest-benchmark writes it; `extra` is another benchmark's extra_info."""
    benchmarks = [{"extra_info": {"energybench": record.to_json()}} for record in records]
    if extra:
        benchmarks.append({"extra_info": extra})
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    return str(path)
