"""The runs before one: the newest of a folder, each once, in the order in which they were made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from energybench.errors import UsageError
from energybench.records.run_folder import is_run_folder
from energybench.records.saved import STORAGE, Run, read_runs, written_at


@dataclass(frozen=True)
class History:
    """Runs before another one, oldest first."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    """One line per file that was asked for and is left out, or per kind of such files."""


def read_history(new: Run, newest: int, names: Sequence[str] = ()) -> History:
    """Return the `newest` runs before `new` among `names`: folders, and files of runs.

    Without names they are those in `.benchmarks/`. In a folder, files that are no runs do not
    count. The order is that of the dates in the files. A run that was saved twice, and copies of
    `new`, count once. Raises `UsageError` for a name that is no run, and where there is no folder.
    """
    if not names and not STORAGE.is_dir():
        raise UsageError(f"no folder {STORAGE}/ with earlier runs; name one with --history")
    paths = [Path(name) for name in names]
    dated, strays = _dated(paths or [STORAGE])
    limit = _moment(new.measured_at) or datetime.now(UTC)
    before = sorted((when, path) for path, when in dated.items() if when <= limit)
    seen = _ids(new)
    kept: list[Run] = []
    for _, path in reversed(before):
        if len(kept) == newest:
            break
        try:
            (run,) = read_runs([str(path)])
        except UsageError:
            if path in paths:
                raise
            strays += 1
            continue
        if not seen & _ids(run):
            kept.append(run)
            seen |= _ids(run)
    later = len(dated) - len(before)
    notes = [f"runs later than {new.label}, left out: {later}"] if later else []
    notes += [f"files that are no runs with a date, left out: {strays}"] if strays else []
    return History(tuple(reversed(kept)), tuple(notes))


def _dated(names: Sequence[Path]) -> tuple[dict[Path, datetime], int]:
    """Return file -> its date, and how many files of the folders are no run with a date."""
    found: dict[Path, datetime] = {}
    strays = 0
    for name in names:
        if not name.exists():
            raise UsageError(f"no file or folder {name}; name one with --history")
        if not name.is_dir() or is_run_folder(name):
            found[name] = _date(name)
            continue
        for path in sorted(name.rglob("*.json")):
            try:
                found[path] = _date(path)
            except UsageError:
                strays += 1
    return found, strays


def _date(path: Path) -> datetime:
    """Return the date of a run; raises `UsageError` for a file without one."""
    if path.suffix == ".json":
        when = written_at(path)
    else:
        (run,) = read_runs([str(path)])
        when = run.measured_at
    moment = _moment(when)
    if moment is None:
        raise UsageError(f"{path} has no date, so that it has no place in a history; leave it out")
    return moment


def _moment(text: str | None) -> datetime | None:
    """Return the moment that `text` names, in UTC unless it says another zone."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _ids(run: Run) -> set[str]:
    return {record.id for record in run.records if record.id is not None}
