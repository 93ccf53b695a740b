"""Records of older schema versions, brought to the newest step by step."""

from dataclasses import asdict
from typing import Any

from energybench.records.metric import ACCURACY
from energybench.records.schema import Migrations


def _with_budget(data: dict[str, Any]) -> dict[str, Any]:
    """Before version 3 every method stopped early."""
    protocol = data.get("protocol")
    if not isinstance(protocol, dict):
        return data  # the reader refuses it and names the field
    return data | {"protocol": protocol | {"budget": "early-stopping"}}


def _with_words(data: dict[str, Any]) -> dict[str, Any]:
    """Before version 3 predictions were a list."""
    test = data.get("test")
    if not isinstance(test, dict) or not isinstance(test.get("predictions"), list):
        return data
    return data | {"test": test | {"predictions": " ".join(map(str, test["predictions"]))}}


def _with_step(data: dict[str, Any]) -> dict[str, Any]:
    """Before version 4 one process ran each cell, uncompiled, with equal batches in every split.

    All was contiguous, which "auto" means on a CPU.
    """
    protocol = data.get("protocol")
    if not isinstance(protocol, dict):
        return data
    step = {
        "memory_format": "auto" if protocol.get("device") == "cpu" else "contiguous",
        "compile": False,
        "evaluation_batch_size": protocol.get("batch_size"),
        "world_size": 1,
        "ranks_per_node": "1",
    }
    dataset = data.get("dataset")
    if isinstance(dataset, dict) and str(dataset.get("name")).startswith("folder:"):
        data = data | {"dataset": dataset | {"served": "decoded as read"}}
    return data | {"protocol": protocol | step, "memory_format": "contiguous"}


def _with_metric(data: dict[str, Any]) -> dict[str, Any]:
    """Before version 5 the metric was accuracy, the items images, and the unit in a field's name.

    Facts of the data, the weights and the protocol were plain dicts.
    """
    new: dict[str, Any] = _renamed(
        data, {"reference_accuracy": "reference_value", "layout": "placement"}
    )
    new.pop("reference_correct", None)
    changed: dict[str, Any] = {
        "protocol": _renamed(new.get("protocol"), {"tolerance_pp": "tolerance"}),
        "weights": _renamed(new.get("weights"), {"test_accuracy": "test_value"}),
        "dataset": _detailed(new.get("dataset")),
        "test": _renamed(
            new.get("test"),
            {"accuracy": "value", "total": "items", "predictions": "outcomes"},
        ),
    }
    if isinstance(changed["weights"], dict):
        changed["weights"] = {"source": ""} | changed["weights"]  # a cell may fail before it loads
    if isinstance(changed["test"], dict):
        changed["test"]["metric"] = asdict(ACCURACY)
    if isinstance(new.get("epochs"), list):
        changed["epochs"] = [_renamed(epoch, _EPOCH) for epoch in new["epochs"]]
    return new | changed


_EPOCH = {
    "validation_accuracy": "validation_metric",
    "images": "items",
    "images_per_s": "items_per_s",
}


def _detailed(dataset: Any) -> Any:
    """`dataset` with all but its general facts in `details`."""
    if not isinstance(dataset, dict):
        return dataset
    general = {key: value for key, value in dataset.items() if key in _GENERAL}
    details = {key: value for key, value in dataset.items() if key not in _GENERAL}
    return general | {"details": details}


_GENERAL = ("name", "fingerprint", "splits")


def _renamed(data: Any, names: dict[str, str]) -> Any:
    """A copy of `data` with other keys (old -> new), where it is a dict."""
    if not isinstance(data, dict):
        return data
    return {names.get(key, key): value for key, value in data.items()}


MIGRATIONS: Migrations = {
    1: lambda data: data | {"schema_version": 2},  # what version 2 adds has defaults
    2: lambda data: _with_words(_with_budget(data)) | {"schema_version": 3},
    3: lambda data: _with_step(data) | {"schema_version": 4},
    4: lambda data: _with_metric(data) | {"schema_version": 5},
    5: lambda data: data | {"schema_version": 6},  # what version 6 adds has defaults
    6: lambda data: data | {"schema_version": 7},  # what version 7 adds has defaults
    7: lambda data: data | {"schema_version": 8},  # what version 8 adds has defaults
}
"""The steps of records for `schema.read_versioned`."""
