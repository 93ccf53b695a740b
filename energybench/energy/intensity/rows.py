"""Rows of a table in text: the columns of its head, and cells with the line that they are on."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from energybench.errors import UsageError, printable


@dataclass(frozen=True)
class Row:
    """The cells of one line, by column."""

    name: str
    """Name of the file, for messages."""
    line: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """The cell in `column` without spaces around it; "" where the line is too short."""
        return self.cells.get(column, "").strip()

    def number(self, column: str) -> float | None:
        """The number in `column`, None for an empty cell; raises `UsageError` for anything else."""
        text = self.text(column)
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            raise self.error(column, text, "a number") from None

    def utc(self, column: str) -> float:
        """The time in `column`, ISO 8601, in UTC unless it says so: seconds since 1970.

        Raises `UsageError` for anything else.
        """
        text = self.text(column)
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise self.error(column, text, "a time such as 2026-11-28 01:00:00") from None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

    def error(self, column: str, text: str, expected: str) -> UsageError:
        """An error that names the file, the line and the cell."""
        shown = f"is {text!r}" if text else "is empty"
        return UsageError(f"{self.name}, line {self.line}: {column} {shown}, not {expected}")


@dataclass(frozen=True)
class Table:
    """A file with a head; its rows are read when they are asked for."""

    path: Path
    columns: tuple[str, ...]
    _text: str

    @property
    def name(self) -> str:
        """The file's own name, printable."""
        return printable(self.path.name)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Read a file of comma- or tab-separated values.

        Raises `UsageError` where it cannot be read, is no text, or is empty.
        """
        name = printable(str(path))
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UsageError(f"cannot read {name}: {error.strerror}; name a CSV file") from error
        except ValueError:
            raise UsageError(f"{name} is not text in UTF-8; name a CSV file") from None
        columns = next(csv.reader(io.StringIO(text), delimiter=_delimiter(text)), [])
        if not any(column.strip() for column in columns):
            raise UsageError(f"{name} is empty; name a CSV file with a head and rows")
        return cls(path, tuple(column.strip() for column in columns), text)

    def rows(self) -> Iterator[Row]:
        """Every line that is not empty; raises `UsageError` for a line that is no CSV."""
        reader = csv.reader(io.StringIO(self._text), delimiter=_delimiter(self._text))
        next(reader)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    found = dict(zip(self.columns, cells, strict=False))
                    yield Row(self.name, reader.line_num, found)
        except csv.Error as error:
            raise UsageError(f"{self.name}, line {reader.line_num}: {error}") from error

    def has(self, columns: Sequence[str]) -> bool:
        """Whether the head has all of these columns."""
        return set(columns) <= set(self.columns)


def _delimiter(text: str) -> str:
    return "\t" if "\t" in text.partition("\n")[0] else ","
