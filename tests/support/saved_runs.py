"""Records and files of runs that nobody measured, for what reads them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from energybench.energy.assumptions import Assumptions
from energybench.energy.readings import EnergyReading
from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import (
    CompressionReport,
    Dataset,
    EpochRecord,
    Protocol,
    RunRecord,
    TestResult,
    Weights,
)

DATASET = Dataset("digits", "f00", details={"image_size": 32})
WEIGHTS = Weights("digits pretraining", "k00")
PROTOCOL: dict[str, Any] = {
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "patience": 3,
    "min_delta": 0.05,
    "max_epochs": 50,
    "batch_size": 64,
    "budget": "early-stopping",
    "memory_format": "auto",
    "compile": False,
    "tolerance": 1.0,
    "pue": 1.0,
    "precision": "fp32",
    "device": "cpu",
    "device_name": "a processor",
    "threads": 2,
}
RMSE = Metric("rmse", higher_is_better=False, unit="m", scale=1.0)
"""A regression's metric: lower is better."""
HEIGHTS = Dataset("heights", "h00", "regression", "tree", {"test": 100}, {"features": 7})

NEXT_TOKEN = Metric("next-token accuracy")
TEXT = Dataset(
    "text",
    "t00",
    "language modelling",
    "token",
    {"test": 100},
    {"block_length": 128, "vocabulary": 1024},
)


ASSUMED = Assumptions("codecarbon 3.3.2", "AMD EPYC", False, 8.0, 2, "cpu_load", 20.0)
"""What CodeCarbon assumes on a virtual machine of two threads."""


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
    metric: Metric = ACCURACY,
    correct: float = 98,
    reference: float = 98,
    search_joules: float = 0.0,
    source: str = "rapl",
    compression: CompressionReport | None = None,
    dataset: Dataset = DATASET,
    weights: Weights = WEIGHTS,
    machine: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
    **protocol: Any,
) -> RunRecord:
    """A finished cell of 100 test items; `changes` replace whole fields of the record.

    `correct` and `reference` are hundredths of the metric's value: items of an accuracy.
    """
    fields: dict[str, Any] = {
        "model": model,
        "method": method,
        "seed": seed,
        "dataset": dataset,
        "weights": weights,
        "protocol": Protocol(**(PROTOCOL | protocol)),
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
        "test": TestResult(metric, correct / 100, 100, ""),
        "reference_value": reference / 100,
    }
    return RunRecord(**(fields | (changes or {})))


def estimated(
    method: str = "baseline",
    seed: int = 0,
    cpu: float = 400.0,
    memory: float = 600.0,
    *,
    assumed: Assumptions | None = ASSUMED,
    source: str = "codecarbon_estimate",
    **rest: Any,
) -> RunRecord:
    """A finished cell whose fine-tuning took an estimated `cpu` and `memory` joules."""
    joules: dict[str, float | None] = {"cpu:estimate": cpu, "dram:estimate": memory}
    fine = EnergyReading(10.0, joules, dict.fromkeys(joules, source))
    changes = {"phases": {"finetune": fine}, "assumptions": assumed}
    return cell(method, seed, changes=changes | rest.pop("changes", {}), **rest)


def regression(
    method: str = "baseline", seed: int = 0, rmse: float = 0.5, **rest: Any
) -> RunRecord:
    """A finished cell whose metric is an error in metres: 0.5 in the reference, 0.6 at most."""
    fields: dict[str, Any] = {
        "metric": RMSE,
        "correct": 100 * rmse,
        "reference": 50.0,
        "dataset": HEIGHTS,
        "tolerance": 0.1,
    }
    return cell(method, seed, **(fields | rest))


def language(
    method: str = "baseline", seed: int = 0, joules: float | None = 1000.0, **rest: Any
) -> RunRecord:
    """A finished cell of gpt2-tiny: a loss of 2.0 nats, and 98 of 100 next tokens predicted."""
    share = rest.get("correct", 98) / 100
    test = TestResult(NEXT_TOKEN, share, 100, "", loss=2.0)
    fields: dict[str, Any] = {
        "model": "gpt2-tiny",
        "metric": NEXT_TOKEN,
        "dataset": TEXT,
        "weights": Weights("pretrained on Python's language reference", "g00"),
    }
    changes = {"test": test, "parameters": 2_000_000} | rest.pop("changes", {})
    return cell(method, seed, joules, changes=changes, **(fields | rest))


def failed(method: str, seed: int = 0, error: str = "the loss is not finite") -> RunRecord:
    return cell(method, seed, changes={"status": "failed", "error": error, "test": None})


def save(path: Path, records: Iterable[RunRecord], **extra: Any) -> str:
    """A file as pytest-benchmark writes it; `extra` is another benchmark's extra_info."""
    benchmarks = [{"extra_info": {"energybench": record.to_json()}} for record in records]
    if extra:
        benchmarks.append({"extra_info": extra})
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    return str(path)
