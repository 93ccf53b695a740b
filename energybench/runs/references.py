"""References: the baseline of each model and seed, from this run, the journal or the cache."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from energybench.config import Cell
from energybench.errors import EnergybenchError, UsageError
from energybench.files import cache_folder, publish
from energybench.records.record import Protocol, RunRecord, from_json
from energybench.runs.facts import REPORTING
from energybench.runs.jobs import Reference
from energybench.runs.measured import with_target

log = logging.getLogger(__name__)

T = TypeVar("T")

_FOLDER = "baselines"


class References:
    """Finder of baselines: in this run, then in the journal, then in the user's cache.

    If the baseline is in none of these places, the caller runs it and passes the result to `add`.
    """

    def __init__(
        self,
        journal: Callable[[str], RunRecord | None],
        agree: Callable[[T], T] = lambda found: found,
    ) -> None:
        """Take `journal` (cache key -> finished record) and `agree` (broadcast of rank 0)."""
        self._journal = journal
        self._agree: Callable[[Any], Any] = agree
        self._known: dict[tuple[str, int], Reference] = {}

    @property
    def cached(self) -> dict[tuple[str, int], RunRecord]:
        """Baselines of the cache that served as references, by (model, seed)."""
        known = self._known.items()
        return {place: found.record for place, found in known if found.source == "cache"}

    def add(self, record: RunRecord, source: str = "this run") -> Reference:
        """Remember a baseline that has finished or failed."""
        reference = Reference(record, source)
        self._known[record.model, record.seed] = reference
        return reference

    def find(
        self, baseline: Cell, key: str, file: str | None, protocol: Protocol
    ) -> Reference | None:
        """Look up `baseline`; return None if the baseline has to run.

        `key` is its cache key in the journal, `file` its name in the cache, None to leave out the
        cache. `protocol` belongs to this run: a cached baseline takes the `REPORTING` fields from
        it.
        """
        found: Reference | None = self._agree(self._find(baseline, key, file, protocol))
        if found is not None:
            self._known[baseline.model, baseline.seed] = found
        return found

    def _find(
        self, baseline: Cell, key: str, file: str | None, protocol: Protocol
    ) -> Reference | None:
        known = self._known.get((baseline.model, baseline.seed))
        if known is not None:
            return known
        journaled = self._journal(key)
        if journaled is not None:
            return Reference(journaled, "journal")
        cached = None if file is None else read_baseline(file, protocol)
        return None if cached is None else Reference(cached, "cache")


def write_baseline(file: str, record: RunRecord) -> None:
    """Cache a baseline; log a warning if writing fails."""
    text = json.dumps(record.to_json())
    try:
        publish(cache_folder(_FOLDER) / file, lambda target: target.write_text(text))
    except (EnergybenchError, OSError) as error:
        log.warning("the baseline of %s is not cached: %s", record.model, error)


def read_baseline(file: str, protocol: Protocol) -> RunRecord | None:
    """Read a cached baseline under this run's `protocol`; return None if there is none to read."""
    try:
        record = from_json(json.loads((cache_folder(_FOLDER) / file).read_text()))
    except (OSError, ValueError, UsageError):  # missing, or another version
        return None
    reported = {name: getattr(protocol, name) for name in REPORTING}
    record = replace(record, protocol=replace(record.protocol, **reported))
    return record if record.metric is None else with_target(record, record.epochs, record.metric)
