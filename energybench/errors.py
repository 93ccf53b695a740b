"""The errors a user can cause. Every message is one line that says what to do."""

import errno
import re

_UNPAIRED = re.compile("[\ud800-\udfff]")
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""Python's stand-ins for the bytes 0x80 to 0xff of a file name that is not UTF-8."""

_NO_MEMORY = ("out of memory", "allocate memory", "ALLOC_FAILED")
"""Parts of what PyTorch says in plain errors where there is no memory left."""


class EnergybenchError(Exception):
    """Base of all errors that energybench raises on purpose; `str(error)` is one line."""

    def __str__(self) -> str:
        """The message; line breaks become spaces, and other control characters are escaped."""
        return printable(" ".join(super().__str__().splitlines()))


class UsageError(EnergybenchError):
    """An option, name, path or file given by the user cannot be used."""


class CellError(EnergybenchError):
    """One cell cannot go on (loss not finite, a search that failed); the others can."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the host or the device had no memory left.

    PyTorch, which is not imported for this, has an error of its own for devices.
    """
    if any(kind.__name__ in ("MemoryError", "OutOfMemoryError") for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)


def legible(text: str) -> str:
    """Return `text` so that it can be encoded: bytes of a file name that are not UTF-8 as `\\xe9`.

    Python itself keeps such bytes as unpaired surrogates, which open the file and which no record,
    page or terminal takes.
    """
    return _UNPAIRED.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}"


def printable(text: str) -> str:
    """Return `text`, legible, with characters that would steer a terminal escaped: "a\\x1b[2Jb"."""
    text = legible(text)
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
