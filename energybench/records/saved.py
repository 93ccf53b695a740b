"""Runs as they were saved: records out of pytest-benchmark's JSON, its storage, and journals."""

import gc
import glob
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from energybench.errors import UsageError, printable
from energybench.records.calls import CallEnergy, calls_in
from energybench.records.contribution import Contribution, contribution_of
from energybench.records.encoding import decoded
from energybench.records.journal import Contents
from energybench.records.record import RunRecord, from_json
from energybench.records.run_folder import is_run_folder, read_contents
from energybench.records.studies import KEY as STUDY

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
STORAGE = Path(".benchmarks")
"""Where pytest-benchmark keeps runs, unless it is told another place."""
LATEST = "latest"
"""The name of the run that was stored last."""


@dataclass(frozen=True)
class Run:
    """The contents of one file."""

    label: str
    """A name that no other of the files asked for has."""
    path: Path
    records: tuple[RunRecord, ...]
    """Records of its benchmarks, and of cells that no benchmark carries."""
    extras: tuple[dict[str, Any], ...] = ()
    """`extra_info` of the benchmarks that are not cells, and of studies that no benchmark has."""
    notes: tuple[str, ...] = ()
    """A line per part of the file that cannot be read."""
    commit: str | None = None
    """Commit of the code that measured it; None where the file does not say."""
    measured_on: str | None = None
    """Day on which it was measured, as 2026-11-24; None where the file does not say."""
    measured_at: str | None = None
    """When it was written, in ISO 8601, to order runs by; None where the file does not say."""
    commit_id: str | None = None
    """The whole id of a commit without changes; None elsewhere."""
    contribution: Contribution | None = None
    """Who signed the file off; None for most."""
    calls: dict[str, CallEnergy] = field(default_factory=dict)
    """Test -> energy per call, of the tests that `--energy` measured."""


def read_runs(
    names: Sequence[str],
    need_records: bool = True,
    or_calls: bool = False,
    storage: Path | None = None,
) -> list[Run]:
    """Every run that `names` name: JSON files, journals, folders of runs on a cluster, or ids in
    `storage` (`.benchmarks/`) such as `0001`; `LATEST` is the last one there.

    Control characters in their texts are escaped, see `errors.printable`. Raises `UsageError` for a
    file that cannot be read and, with `need_records`, for one without records; with `or_calls`
    energies per call are as good.
    """
    paths = [path for name in names for path in _paths(name, storage or STORAGE)]
    paths = list(dict.fromkeys(paths))
    labels = map(printable, _labels(paths))
    with _no_garbage():
        found = zip(paths, labels, strict=True)
        runs = [_plain(_read(path, label)) for path, label in found]
    for run in runs:
        if need_records and not run.records and not (or_calls and run.calls):
            raise UsageError(_empty(run.path))
    return runs


def read_run(path: str | Path) -> list[RunRecord]:
    """The records of one file; raises `UsageError` as `read_runs` does."""
    run = _read(Path(path), Path(path).stem)
    if not run.records:
        raise UsageError(_empty(run.path))
    return list(run.records)


def _empty(path: Path) -> str:
    return f"{path} has no energybench records; was it another benchmark's?"


def _plain(value: Any) -> Any:
    """`value` with printable texts; itself where they all are."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        pairs = [(_plain(key), _plain(one)) for key, one in value.items()]
        both = zip(value.items(), pairs, strict=True)
        same = all(key is new and one is other for (key, one), (new, other) in both)
        return value if same else dict(pairs)
    if isinstance(value, list | tuple):
        items = [_plain(one) for one in value]
        same = all(one is other for one, other in zip(items, value, strict=True))
        return value if same else type(value)(items)
    if is_dataclass(value) and not isinstance(value, type):
        old = {one.name: getattr(value, one.name) for one in fields(value)}
        changed = {name: new for name, one in old.items() if (new := _plain(one)) is not one}
        return replace(value, **changed) if changed else value
    return value


def _paths(name: str, storage: Path) -> list[Path]:
    """The file called `name`, or the stored runs whose names begin with that id."""
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return [path]
    if name == LATEST:
        stored = sorted(storage.glob("*/[0-9][0-9][0-9][0-9]_*.json"), key=lambda one: one.name)
        if not stored:
            raise UsageError(f"no run in {storage}/ yet; save one with --benchmark-autosave")
        return stored[-1:]
    if not storage.is_dir():
        return [path]
    found = sorted(storage.glob(f"*/{glob.escape(name)}*.json"))
    if not found:
        raise UsageError(f"no run {name!r} in {storage}/; name a file, or an id that is there")
    return found


def _labels(paths: Sequence[Path]) -> list[str]:
    """File names without their suffix, after as many folders as make them differ."""
    labels = [path.stem for path in paths]
    depth = 1
    while len(set(labels)) < len(labels) and depth < max(len(path.parts) for path in paths):
        depth += 1
        counts = Counter(labels)
        labels = [
            "/".join((*path.parts[-depth:-1], path.stem)) if counts[label] > 1 else label
            for path, label in zip(paths, labels, strict=True)
        ]
    return labels


def _read(path: Path, label: str) -> Run:
    journal = ".jsonl" in (path.suffix, Path(path.stem).suffix)  # also journal.jsonl.gz
    if journal or is_run_folder(path):
        return _read_journal(path, label)
    data = _json(path)
    contribution = contribution_of(data, path)
    try:
        extras = [benchmark.get("extra_info", {}) for benchmark in data["benchmarks"]]
        found = [extra["energybench"] for extra in extras if "energybench" in extra]
        beside = data.get("energybench", {})
        found += beside.get("records", [])
        extras += [{STUDY: study} for study in beside.get("studies", [])]
        calls, unread = calls_in(data["benchmarks"])
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} is not a file of pytest-benchmark's") from error
    others = tuple(extra for extra in extras if extra and "energybench" not in extra)
    try:
        records = tuple(from_json(record) for record in found)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    when = _when(data)
    return Run(
        label,
        path,
        records,
        others,
        (*_notes(path, data), *(f"{path}: {line}" for line in unread)),
        _commit(data),
        None if when is None else when[:10],
        when,
        _commit_id(data),
        contribution,
        calls,
    )


def written_at(path: Path) -> str | None:
    """When the run in a JSON file was written, in ISO 8601; None where it does not say.

    Raises `UsageError` for a file that cannot be read.
    """
    return _when(_json(path))


def _notes(path: Path, data: dict[str, Any]) -> tuple[str, ...]:
    left_out = data.get("left_out")
    if not isinstance(left_out, int):
        return ()
    return (f"{path}: {left_out} benchmarks were left out of a large file; its journal has them",)


def _commit(data: dict[str, Any]) -> str | None:
    """Return the commit as pytest-benchmark noted it: "88cf6ac", or "88cf6ac with changes"."""
    info = data.get("commit_info")
    found = info.get("id") if isinstance(info, dict) else None
    if not isinstance(found, str) or not isinstance(info, dict):
        return None
    return f"{found[:7]} with changes" if info.get("dirty") else found[:7]


def _commit_id(data: dict[str, Any]) -> str | None:
    info = data.get("commit_info")
    found = info.get("id") if isinstance(info, dict) and not info.get("dirty") else None
    return found if isinstance(found, str) and _COMMIT.fullmatch(found) else None


def _when(data: Any) -> str | None:
    found = data.get("datetime") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _read_journal(path: Path, label: str) -> Run:
    """The record of each cell that counts; raises `UsageError` where there is none."""
    contents = read_contents(path)
    if not contents.entries:
        raise UsageError(f"{path} holds no finished cell")
    records = tuple(entry.record for entry in contents.counted.values())
    notes = [f"{path}, {text}" for text in contents.damaged]
    notes += [f"{path}: {text}" for text in _other_baselines(contents)]
    last = max(entry.written_at for entry in contents.entries)
    return Run(label, path, records, notes=tuple(notes), measured_at=last)


def _other_baselines(contents: Contents) -> Iterator[str]:
    """A line per cell that was compared with a baseline in the journal that does not count."""
    counted = [entry.record for entry in contents.counted.values()]
    ids = {record.id for record in counted}
    others = {entry.record.id for entry in contents.entries} - ids
    for record in counted:
        if record.reference_id in others:
            yield (
                f"{record.model} {record.method} seed {record.seed} has its drop from a second "
                "baseline, and its saving from the first"
            )


def _json(path: Path) -> Any:
    from pydantic_core import from_json as parse  # three times as fast as json on long files

    try:
        return parse(decoded(path.read_bytes(), path), cache_strings="keys")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}); name a file of a run") from error


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Switch the garbage collector off: a large file makes millions of objects that all stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()
