"""Texts with their splits: the embedded one, a file, or a folder with one part per split.

    text                    the embedded text
    text:novel.txt          a file; its last two tenths are for validation and the test
    text:corpus             a folder with train, validation and test, each a file or a folder

Texts are UTF-8. They are kept whole in memory. What an item is depends on the tokenizer of the
model, so a text's own split sizes are in characters, and the task of a model has them in tokens.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import torch

from energybench.config import DataConfig
from energybench.errors import UsageError
from energybench.files import expanded
from energybench.progress import Progress
from energybench.workloads.base import Split
from energybench.workloads.language import corpus
from energybench.workloads.language.task import LanguageModelling

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_PIECES, _HELD_OUT = 12, 2
"""Pieces of the embedded fine-tuning text, of equal length; those of validation, and of the test.

A seed draws which piece belongs to which split."""
_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Parts of a single file, in this order."""


@dataclass(frozen=True, eq=False)
class Texts:
    """A text per split; a `PreparedData`."""

    name: str
    parts: Mapping[Split, str]
    """Split -> its text."""
    block_length: int
    """Tokens per block."""
    models: frozenset[str] = frozenset()
    built: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the texts and their splits."""
        digest = hashlib.sha256()
        for split, text in sorted(self.parts.items()):
            digest.update(f"{split} {len(text)} ".encode() + text.encode())
        return digest.hexdigest()[:16]

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Characters per split."""
        return {split: len(text) for split, text in self.parts.items()}

    def task(self, model: str, weights: str | None, device: torch.device) -> LanguageModelling:
        """Return the task of training `model` on the text."""
        return LanguageModelling.named(model, self, weights, device)


@dataclass(frozen=True, eq=False)
class EmbeddedTexts(Texts):
    """The embedded text: Python's reference to pretrain on, its library's source to fine-tune."""

    split_seed: int = 0
    """Draws the splits of fine-tuning, and initializes networks that are pretrained here."""

    def varied(self, seed: int) -> Self:
        """Return the same text in splits of another seed."""
        if seed == self.split_seed:
            return self
        other = replace(_embedded(self.block_length, seed), models=self.models)
        assert isinstance(other, type(self))
        return other


@lru_cache(maxsize=2)
def _embedded(block_length: int, seed: int) -> EmbeddedTexts:
    """Divide the embedded text; cells of one seed follow each other, and find it divided."""
    pieces = list(_pieces(corpus.library(), _PIECES))
    order = random.Random(seed).sample(range(_PIECES), _PIECES)
    bounds = {"test": (0, _HELD_OUT), "validation": (_HELD_OUT, 2 * _HELD_OUT)}
    parts: dict[Split, str] = {"pretrain": corpus.reference()}
    for split in SPLITS:
        start, end = bounds.get(split, (2 * _HELD_OUT, _PIECES))
        parts[split] = "".join(pieces[index] for index in sorted(order[start:end]))
    return EmbeddedTexts("text", parts, block_length, split_seed=seed)


def _pieces(text: str, count: int) -> Iterator[str]:
    """Cut `text` into `count` pieces of whole lines and nearly equal length."""
    start = 0
    for number in range(1, count + 1):
        end = text.find("\n", len(text) * number // count - 1) + 1
        end = len(text) if number == count or not end else end
        yield text[start:end]
        start = end


@dataclass(frozen=True)
class TextSource:
    """The `Source` of a text; it is read when it is prepared, and cut when a model is known."""

    open: Callable[[int], Texts]
    """Block length -> the texts."""

    def prepare(
        self,
        models: Sequence[str],
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> Texts:
        """Read the text. Raises `UsageError` for one that is missing, empty or not UTF-8."""
        return replace(self.open(config.block_length), models=frozenset(models))


def open_text(location: str = "") -> TextSource:
    """Open the embedded text, or the file or folder at `location`; raises `UsageError`."""
    if not location:
        return TextSource(lambda block_length: _embedded(block_length, 0))
    path = expanded(location)
    if not path.exists():
        raise UsageError(f"no text at {path}; name a file, or a folder with {', '.join(SPLITS)}")
    name = f"text:{location}"
    parts = _parts_of_folder(path) if path.is_dir() else _parts_of_file(path)
    return TextSource(lambda block_length: Texts(name, parts, block_length))


def _parts_of_file(path: Path) -> dict[Split, str]:
    text, parts, start, done = _read(path), {}, 0, 0.0
    for split in SPLITS:
        done += _SHARES[split]
        end = len(text) if split == SPLITS[-1] else text.find("\n", int(done * len(text))) + 1
        end = end or int(done * len(text))  # a text of one line
        parts[split] = _not_empty(text[start:end], f"the {split} split of {path}")
        start = end
    return parts


def _parts_of_folder(folder: Path) -> dict[Split, str]:
    return {split: _part(folder, split) for split in SPLITS}


def _part(folder: Path, split: Split) -> str:
    """Return the text of one split: of `split.txt`, or of all files below the folder `split`."""
    found = [folder / split, folder / f"{split}.txt"]
    place = next((path for path in found if path.exists()), None)
    if place is None:
        raise UsageError(
            f"{folder} has no {split} text; put a file {split}.txt or a folder {split} there"
        )
    files = [place]
    if place.is_dir():
        files = sorted(path for path in place.rglob("*") if _is_text(place, path))
    return _not_empty("\n".join(map(_read, files)), str(place))


def _is_text(folder: Path, path: Path) -> bool:
    """Return whether `path`, below `folder`, is a file that is not hidden."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.is_file() and not hidden


def _not_empty(text: str, what: str) -> str:
    if not text.strip():
        raise UsageError(f"{what} is empty; put some text there")
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 text: byte {error.start} is {path.read_bytes()[error.start]:#x}; "
            "convert it, or take it away"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror}); name another text") from error
