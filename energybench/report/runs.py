"""Records out of the JSON files that pytest-benchmark saves."""

import json
from pathlib import Path

from energybench.errors import UsageError
from energybench.record import RunRecord, from_json


def read_run(path: str | Path) -> list[RunRecord]:
    """Every record in one file: those of its benchmarks and those that no benchmark carries.

    Raises `UsageError` for a file that cannot be read or has no record.
    """
    try:
        data = json.loads(Path(path).read_text())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}); run the benchmarks again") from error
    try:
        extras = [benchmark.get("extra_info", {}) for benchmark in data["benchmarks"]]
        found = [extra["energybench"] for extra in extras if "energybench" in extra]
        found += data.get("energybench", {}).get("records", [])
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} is not a file of pytest-benchmark's") from error
    if not found:
        raise UsageError(f"{path} has no energybench records; was it another benchmark's?")
    try:
        return [from_json(record) for record in found]
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
