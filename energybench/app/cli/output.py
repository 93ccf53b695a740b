"""Files that commands write: whole or not at all, by their format's name, and over no run."""

from collections.abc import Iterable
from pathlib import Path

from energybench.errors import UsageError
from energybench.files import publish

PAGE = (".html", ".htm")
MARKDOWN = (".md", ".markdown")
JSON = (".json",)
ADVICE = "name another file, or free some space there"


def output_path(name: str, suffixes: tuple[str, ...], runs: Iterable[Path] = ()) -> Path:
    """Return the path of a file to write.

    Raises `UsageError` for a suffix of another format, a folder that does not exist, and for a file
    of `runs`, which the command reads.
    """
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path} does not end in {' or '.join(suffixes)}; choose another name")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: its folder does not exist; make it first")
    refuse_runs(path, runs)
    return path


def refuse_runs(path: Path, runs: Iterable[Path]) -> None:
    """Raise `UsageError` if `path` is a file of `runs`, by whatever name."""
    for run in runs:
        if path.exists() and run.exists() and path.samefile(run):
            raise UsageError(f"{path} is a run that this command reads; name another file")


def write_text(path: Path, text: str) -> None:
    """Write a whole file; raises `UsageError` where that fails, and leaves what was there."""
    publish(path, lambda file: file.write_text(text, encoding="utf-8"), ADVICE)
