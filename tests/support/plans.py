"""Plans of runs on a cluster, and the journals of their blocks."""

import json
from dataclasses import asdict
from typing import Any

from energybench import __version__
from energybench.config import Cell, RunConfig
from energybench.records.event import STARTED, Event, Origin
from energybench.runs.clusters.plan import Block, Plan

AT = "2026-01-01T00:00:00+00:00"
NODE = Origin("n1", "12_0")


def plan(**changes: Any) -> Plan:
    """A plan of one tiny model with two seeds."""
    values: dict[str, Any] = {
        "id": "0a1b2c3d",
        "made_at": AT,
        "arguments": ("benchmarks/", "--energy-seeds=2"),
        "directory": "/work",
        "python": "/bin/true",
        "energybench": __version__,
        "commit": None,
        "config": json.loads(json.dumps(asdict(RunConfig()))),
        "data": "0123456789abcdef",
        "kinds": (),
        "blocks": tuple(Block("tiny", seed, ("stego", "baseline")) for seed in range(2)),
    }
    return Plan(**values | changes)


def event(
    what: str = STARTED,
    cell: Cell | None = None,
    reason: str | None = None,
    origin: Origin = NODE,
) -> Event:
    """An event of the first block's node."""
    return Event(what, AT, origin, cell, reason)
