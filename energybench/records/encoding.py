"""Bytes of a file of records as UTF-8: files come from editors, shells and archives, too."""

import codecs
import gzip
import zlib
from pathlib import Path

from energybench.errors import UsageError

_GZIP = b"\x1f\x8b"
_PACKED = {
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ\x00": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by Zstandard",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF",
}
"""First bytes of files that are not read -> what such a file is."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"{\0": "utf-16-le",
    b"\0{": "utf-16-be",
}
"""First bytes -> the encoding that they show."""


def decoded(data: bytes, path: Path) -> bytes:
    """`data` in UTF-8 without a byte-order mark, unpacked where gzip has packed them.

    UTF-16 is recognized without a mark, too. Raises `UsageError`, which names
    `path`, for another kind of archive and for one that is damaged.
    """
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"cannot unpack {path}: {error}; copy it again") from error
    for start, kind in _PACKED.items():
        if data.startswith(start):
            raise UsageError(f"{path} is {kind}; unpack it, and name the JSON file or journal")
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors="replace").encode(errors="replace")
    return data
