"""The folder of a run on a cluster: its plan, and a journal per block.

Several machines must not append to one file over NFS, so each block has a journal of its own, and
readers merge them.
"""

from collections.abc import Iterable
from pathlib import Path

from energybench.records.journal import Contents, Journal

PLAN = "plan.json"
JOURNALS = "journal"


def is_run_folder(path: Path) -> bool:
    """Whether `path` is the folder of a run on a cluster."""
    return (path / PLAN).is_file()


def read_contents(path: Path) -> Contents:
    """The contents of a journal, or of all journals of a run's folder.

    Raises `UsageError` where one cannot be read.
    """
    if not is_run_folder(path):
        return Journal(path).read()
    journals = sorted((path / JOURNALS).glob("*.jsonl"))
    return merged({one.name: Journal(one).read() for one in journals}.items())


def merged(found: Iterable[tuple[str, Contents]]) -> Contents:
    """Several journals (name, contents) as one; a phrase on damage begins with the journal's name.

    The cells of one block stay in their order, so that the first result of a cell counts.
    """
    found = list(found)
    return Contents(
        tuple(entry for _, contents in found for entry in contents.entries),
        tuple(f"{name}, {phrase}" for name, contents in found for phrase in contents.damaged),
        tuple(event for _, contents in found for event in contents.events),
    )
