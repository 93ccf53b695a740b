"""A contributed run: a JSON file of records that its author signed off, sealed by a hash.

The file is a saved run as pytest-benchmark's are,
with one key more, so that every command reads it.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from energybench.errors import UsageError
from energybench.records.export import saved_run
from energybench.records.record import RunRecord
from energybench.records.schema import read_versioned

KEY = "contribution"
SCHEMA_VERSION = 1
STATEMENT = (
    "I measured these records on the machine that they name and changed none of them. I may "
    "publish them under the licence of this project, and I certify the Developer Certificate of "
    "Origin 1.1 (https://developercertificate.org)."
)
_AUTHOR = re.compile(r"[^<>@\s][^<>@]*(?: <[^<>@\s]+@[^<>@\s]+>)?")
_HASH = "sha256"


@dataclass(frozen=True)
class Contribution:
    """Who signed off a run, and what they said."""

    signed_off_by: str
    """"Ada Lovelace <ada@example.org>", or the name alone."""
    statement: str
    sha256: str
    """Hash of the file's contents without this one, see `digest`."""
    fewer_seeds: bool = False
    """Whether the author says that some cells have fewer seeds than the rules ask for."""
    schema_version: int = SCHEMA_VERSION

    @property
    def name(self) -> str:
        """The author's name without an address."""
        return self.signed_off_by.partition(" <")[0]


def check_author(text: str) -> str:
    """Return "Name <mail>" or "Name"; raises `UsageError` for anything else."""
    if not _AUTHOR.fullmatch(text) or not text.isprintable():
        raise UsageError(f'--by is {text!r}; write "Name <mail>", or the name alone')
    return text


def contributed(
    records: Sequence[RunRecord],
    author: str,
    commit: str,
    measured_on: str,
    version: str,
    fewer_seeds: bool = False,
) -> dict[str, Any]:
    """Return the file of a contribution, with the hash of its contents.

    `author` is as `check_author` returns it, `version` that of pytest-benchmark. Folders are left
    out of the names of data and weights. Raises `ValueError` without a record.
    """
    run = saved_run(map(_without_folders, records), measured_on, version, commit)
    data: dict[str, Any] = json.loads(json.dumps(run))  # as it will be read
    data[KEY] = asdict(Contribution(author, STATEMENT, "", fewer_seeds))
    data[KEY][_HASH] = digest(data)
    return data


def contribution_of(data: Any, path: Path) -> Contribution | None:
    """Return the contribution of a file's contents; None for an ordinary run.

    Raises `UsageError` where the contents are not those that were signed off.
    """
    if not isinstance(data, dict) or KEY not in data:
        return None
    try:
        found = read_versioned(data[KEY], Contribution, "contribution", SCHEMA_VERSION)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    if found.statement != STATEMENT:
        raise UsageError(f"{path} has another statement than the one to sign; contribute it again")
    if digest(data) != found.sha256:
        raise UsageError(
            f"{path} was changed after {found.name} signed it off (its hash differs); take the "
            "original file"
        )
    return found


def digest(data: dict[str, Any]) -> str:
    """Return the SHA-256 of a file's contents without the hash itself, as hexadecimal digits.

    It is that of JSON with sorted keys and without spaces, so that no editor's layout changes it.
    """
    own = {name: value for name, value in data[KEY].items() if name != _HASH}
    text = json.dumps(data | {KEY: own}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _without_folders(record: RunRecord) -> RunRecord:
    """Return `record` with the last part of each path alone: folders tell of their owner."""
    kind, colon, place = record.dataset.name.partition(":")
    dataset = replace(record.dataset, name=f"{kind}{colon}{Path(place).name}")
    source = record.weights.source
    weights = replace(record.weights, source=Path(source).name if _is_path(source) else source)
    return replace(record, dataset=dataset, weights=weights)


def _is_path(text: str) -> bool:
    return Path(text).is_absolute() or text.startswith(("./", "../", "~"))
