"""The embedded text: documentation and source of CPython 3.11.7, under the PSF licence.

`reference.txt.xz` (466 kB) is the language reference that `help()` shows, the topics of the module
`pydoc_data.topics` in the order of their names: English prose with grammar and short examples. The
model `gpt2-tiny` is pretrained on it. `library.txt.xz` (114 kB) is the source of the modules
`dataclasses` and `shutil`: the domain of fine-tuning, whose text looks quite unlike that of the
other. `tokenizer.json` is a byte-level BPE of 1,024 tokens, trained on the former alone by the
library tokenizers. `LICENSE.txt` is CPython's: Copyright (c) 2001-2023 Python Software Foundation;
All Rights Reserved.
"""

import lzma
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from energybench.errors import UsageError


@cache
def reference() -> str:
    """Return the text to pretrain on."""
    return _unpacked("reference.txt.xz")


@cache
def library() -> str:
    """Return the text to fine-tune on."""
    return _unpacked("library.txt.xz")


def tokenizer_file() -> Traversable:
    """Return the file of the tokenizer."""
    return resources.files(__name__) / "tokenizer.json"


def _unpacked(name: str) -> str:
    file = resources.files(__name__) / name
    try:
        return lzma.decompress(file.read_bytes()).decode()
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file} ({error}); install energybench again") from error
