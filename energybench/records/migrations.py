"""Records of older schema versions, brought to the newest step by step."""

from typing import Any

from energybench.records.schema import Migrations


def _with_budget(data: dict[str, Any]) -> dict[str, Any]:
    """Until version 3 every method stopped early."""
    protocol = data.get("protocol")
    if not isinstance(protocol, dict):
        return data  # which is refused with the field's name
    return data | {"protocol": protocol | {"budget": "early-stopping"}}


def _with_words(data: dict[str, Any]) -> dict[str, Any]:
    """Until version 3 predictions were a list."""
    test = data.get("test")
    if not isinstance(test, dict) or not isinstance(test.get("predictions"), list):
        return data
    return data | {"test": test | {"predictions": " ".join(map(str, test["predictions"]))}}


def _with_step(data: dict[str, Any]) -> dict[str, Any]:
    """Until version 4 all was contiguous, nothing compiled, and every split had equal batches.

    One process ran each cell.

    On a CPU contiguous is what "auto" means.
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


MIGRATIONS: Migrations = {
    1: lambda data: data | {"schema_version": 2},  # what version 2 adds has defaults
    2: lambda data: _with_words(_with_budget(data)) | {"schema_version": 3},
    3: lambda data: _with_step(data) | {"schema_version": 4},
}
"""As `schema.read_versioned` takes them."""
