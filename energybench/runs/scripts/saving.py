"""Where the records of a script go: a JSON of runs, or a line of a journal."""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex

from energybench.errors import UsageError, legible
from energybench.files import cache_folder, publish
from energybench.records.entry import Entry
from energybench.records.export import benchmark_json
from energybench.records.journal import Journal
from energybench.records.record import RunRecord
from energybench.records.saved import read_run

log = logging.getLogger(__name__)

_JOURNAL = ".jsonl"
_ADVICE = "name another file"


def is_journal(path: Path) -> bool:
    """Whether `path` is called as a journal is."""
    return path.suffix == _JOURNAL


def check_name(path: Path) -> None:
    """Raise `UsageError` unless `path` is called as a run or a journal is."""
    if path.suffix not in (".json", _JOURNAL):
        raise UsageError(
            f"save is {path}; name a run as run.json, or a journal as journal{_JOURNAL}"
        )


def check_place(path: Path) -> None:
    """Raise `UsageError` unless records can be saved at `path`; makes its folder, and no file.

    A journal is added to. A JSON is replaced, but only if it holds runs of scripts.
    """
    if is_journal(path):
        Journal(path).check()
        return
    if path.is_dir():
        raise UsageError(f"cannot save the run: {path} is a folder; {_ADVICE}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror or error}); {_ADVICE}") from error
    if path.exists() and path.stat().st_size and not _holds_scripts(path):
        raise UsageError(f"{path} holds something else than runs of scripts; {_ADVICE}")


def _holds_scripts(path: Path) -> bool:
    try:
        return all(record.script is not None for record in read_run(path))
    except UsageError:
        return False


def entry_of(record: RunRecord) -> Entry:
    """`record` as a line of a journal; no two runs of a script are the same cell."""
    return Entry(token_hex(32), record, None, datetime.now(UTC).isoformat(timespec="seconds"))


def save(path: Path, entries: Sequence[Entry]) -> None:
    """Save the last of `entries` in the journal at `path`, or all of them in the JSON there.

    Where that fails, a line in the log says where they are instead: in the cache, or on standard
    error. Raises nothing, since the script's own work is done.
    """
    try:
        if is_journal(path):
            Journal(path).append(entries[-1])
        else:
            _write(path, entries)
    except UsageError as error:
        log.warning("%s; %s", error, _rescue(path, entries))


def _write(path: Path, entries: Sequence[Entry]) -> None:
    text = _json(entries)
    publish(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), _ADVICE)


def _json(entries: Sequence[Entry]) -> str:
    return json.dumps(benchmark_json(entries, version("pytest-benchmark"))) + "\n"


def _rescue(path: Path, entries: Sequence[Entry]) -> str:
    """Keep `entries` elsewhere; a clause that says where."""
    with suppress(UsageError):
        place = cache_folder("rescued") / f"{path.stem[:60]}-{os.getpid()}-{token_hex(2)}.json"
        _write(place, entries)
        return f"the run is in {legible(str(place))}"
    sys.stderr.write(_json(entries))
    return "the run is on standard error, above this line"
