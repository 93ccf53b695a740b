"""Baselines that earlier runs have measured, in the user's cache."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from energybench.errors import EnergybenchError, UsageError
from energybench.files import cache_folder, publish
from energybench.records.record import RunRecord, from_json

log = logging.getLogger(__name__)

REPORTING = ("tolerance", "budget", "pue")
"""Of the protocol, what changes no measurement of a baseline: one of the cache takes this run's."""

_FOLDER = "baselines"


def write_baseline(name: str, record: RunRecord) -> None:
    """Keep a baseline that went well; where that fails, a warning says so."""
    text = json.dumps(record.to_json())
    try:
        publish(cache_folder(_FOLDER) / name, lambda target: target.write_text(text))
    except (EnergybenchError, OSError) as error:
        log.warning("the baseline of %s is not cached: %s", record.model, error)


def read_baseline(name: str, protocol: Mapping[str, Any]) -> RunRecord | None:
    """The baseline called `name` under this run's `protocol`; None where none can be read."""
    try:
        record = from_json(json.loads((cache_folder(_FOLDER) / name).read_text()))
    except (OSError, ValueError, UsageError):  # none yet, or of another version: made anew
        return None
    reported = {key: protocol[key] for key in REPORTING}
    return replace(record, protocol=replace(record.protocol, **reported))
