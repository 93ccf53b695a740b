"""The errors a user can cause. Every message is one line that says what to do."""


def printable(text: str) -> str:
    """`text` in one line, with characters that would steer a terminal escaped: "a\\x1b[2Jb"."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


class EnergybenchError(Exception):
    """Base of all errors that energybench raises on purpose; `str(error)` is one line."""

    def __str__(self) -> str:
        """The message; line breaks become spaces, and other control characters are escaped."""
        return printable(" ".join(super().__str__().splitlines()))


class UsageError(EnergybenchError):
    """An option, name, path or file given by the user cannot be used."""


class CellError(EnergybenchError):
    """One cell cannot go on (loss not finite, a search that failed); the others can."""
