"""The errors a user can cause. Every message is one line that says what to do."""


class EnergybenchError(Exception):
    """Base of all errors that energybench raises on purpose; `str(error)` is one line."""

    def __str__(self) -> str:
        """The message; line breaks in names or paths that it cites become spaces."""
        return " ".join(super().__str__().splitlines())


class UsageError(EnergybenchError):
    """An option, name, path or file given by the user cannot be used."""


class CellError(EnergybenchError):
    """One cell cannot go on (loss not finite, a search that failed); the others can."""
