"""Files of one run after another, a day apart."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from energybench.records.record import RunRecord

START = datetime(2026, 11, 1, tzinfo=UTC)


def dated(path: Path, day: int, records: Iterable[RunRecord], **extra: Any) -> Path:
    """A run as pytest-benchmark writes it on that day, at a commit whose id begins with the day."""
    benchmarks = [{"extra_info": {"energybench": record.to_json()}} for record in records]
    data = {
        "benchmarks": benchmarks,
        "datetime": (START + timedelta(days=day)).isoformat(),
        "commit_info": {"id": f"{day:02d}abcde" + "0" * 33, "dirty": False},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data | extra))
    return path
