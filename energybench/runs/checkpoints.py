"""Checkpoints of running cells: the state after an epoch, and the energy used since then.

A checkpoint `KEY-DIGEST.pt` holds tensors and plain values. PyTorch's weights-only loader reads it,
and no pickle is executed. DIGEST is the start of the contents' SHA-256, so damage shows. The
previous checkpoint is deleted only once the new one is on the disk. Every few seconds the note
`KEY.json` records the energy used since the checkpoint, so that a killed cell can account for it.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from energybench.energy.readings import EnergyReading, added
from energybench.energy.windows import Window
from energybench.errors import EnergybenchError, UsageError, is_out_of_memory
from energybench.files import publish
from energybench.records.record import RunRecord, from_json
from energybench.records.schema import read_versioned
from energybench.workloads.weights.state_files import UNREADABLE

BEAT_S = 5.0
"""Seconds between two notes of the energy used."""
_FIRST = ""
"""Digest in the notes that are written before the first checkpoint."""


@dataclass(frozen=True)
class Saved:
    """A cell as saved after an epoch."""

    record: RunRecord
    """The measurements up to that epoch."""
    course: dict[str, Any]
    """A `Course.state_dict`, on the CPU."""


@dataclass(frozen=True)
class _Since:
    """A note: the energy used after a checkpoint, lost if the cell is killed now."""

    after: str
    lost: EnergyReading
    schema_version: int = 1


class Checkpoint:
    """The checkpoint of one running cell, named by the cell's cache key.

    With `resume` the checkpoint of an earlier run is read; otherwise it is deleted. A file that
    cannot be written or read is reported to `complain`, in one line, and the cell continues.
    """

    def __init__(
        self, folder: Path, key: str, resume: bool, complain: Callable[[str], None]
    ) -> None:
        self._folder, self._key, self._complain = folder, key, complain
        self._since = folder / f"{key}.json"
        self._lock = threading.Lock()
        self._windows = ExitStack()
        self._window: Window | None = None
        self.lost: EnergyReading | None = None
        """Energy used by earlier runs after the checkpoint; without one, all their energy."""
        if not resume:
            self.discard()
        self._path = self._newest()
        self._digest = _FIRST if self._path is None else _digest_in(self._path)
        if resume:
            self.lost = self._lost_since()

    def load(self) -> Saved | None:
        """Return the checkpoint of an earlier run; None if there is none."""
        if self._path is None:
            return None
        try:
            found = torch.load(self._path, map_location="cpu", weights_only=True)
            return Saved(from_json(json.loads(found["record"])), found["course"])
        except (*UNREADABLE, UsageError) as error:
            if is_out_of_memory(error):
                raise
            self._complain(f"{self._path} is not from this energybench; that cell starts anew")
            return None

    @contextmanager
    def watched(self, window: Callable[[], AbstractContextManager[Window]]) -> Iterator[None]:
        """Write notes of the energy that the block uses; `window` opens an energy window."""
        self._window = self._windows.enter_context(window())
        self._open_window = window
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_S):
                self._note()

        thread = threading.Thread(target=beat, name="energybench-checkpoint", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._note()
            self._windows.close()

    def save(self, record: RunRecord, course: dict[str, Any]) -> None:
        """Replace the checkpoint by a new one; call within `watched`."""
        with self._lock:
            assert self._window is not None  # within `watched`
            until = self._window
            self._windows.close()
            self._window = self._windows.enter_context(self._open_window())
            try:
                path = self._write({"record": json.dumps(record.to_json()), "course": course})
            except (OSError, RuntimeError) as error:
                used = until.reading  # lost if the cell is killed before the next save
                self.lost = used if self.lost is None else added(self.lost, used)
                self._complain(
                    f"no checkpoint of {record.model} {record.method} in {self._folder} "
                    f"({_line(error)}); free some space there, or name another journal"
                )
                return
            self._path, self._digest, self.lost = path, _digest_in(path), None
            with suppress(OSError):  # an older checkpoint does no harm
                self._delete_but(path)

    def reject(self, used: EnergyReading) -> None:
        """Delete the checkpoint, and count the energy `used` until then as lost."""
        with self._lock:
            self.lost = used if self.lost is None else added(used, self.lost)
            self._path, self._digest = None, _FIRST
            self._delete_but(None)

    def discard(self) -> None:
        """Delete the checkpoint and its note."""
        with suppress(OSError):
            self._delete_but(None)
            for path in (self._since, *self._folder.glob(f".{self._key}*")):  # and unfinished files
                path.unlink(missing_ok=True)

    def _write(self, content: dict[str, Any]) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{self._key}.tmp"
        try:
            with temporary.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            path = self._folder / f"{self._key}-{_digest_of(temporary)}.pt"
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def _note(self) -> None:
        with self._lock:
            assert self._window is not None  # within `watched`
            used = self._window.so_far()
            lost = used if self.lost is None else added(self.lost, used)
            text = json.dumps(asdict(_Since(self._digest, lost)))
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                publish(self._since, lambda path: path.write_text(text))
            except (EnergybenchError, OSError) as error:
                self._complain(f"{self._since} is not written: {_line(error)}")

    def _lost_since(self) -> EnergyReading | None:
        try:
            data = json.loads(self._since.read_text())
            found = read_versioned(data, _Since, "note of a checkpoint", 1)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, UsageError):
            self._complain(f"{self._since} is damaged; what that cell had lost is unknown")
            return None
        return found.lost if found.after == self._digest else None

    def _newest(self) -> Path | None:
        """Return the latest file whose contents match the digest in its name."""
        found = sorted(self._files(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in found:
            if _digest_of(path) == _digest_in(path):
                return path
            self._complain(f"{path} is damaged and not used")
        return None

    def _delete_but(self, kept: Path | None) -> None:
        for path in self._files():
            if path != kept:
                path.unlink()

    def _files(self) -> list[Path]:
        return list(self._folder.glob(f"{self._key}-*.pt"))


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _digest_in(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
