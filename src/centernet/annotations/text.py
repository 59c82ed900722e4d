"""Numbers, lines and tables in text files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .problems import Reports

if TYPE_CHECKING:
    from numpy.typing import NDArray


def number(text: str) -> float:
    """Return a number as files write it.

    Raises:
        ValueError: it is none. Python's own ``1_000`` is none either: in a file that is a slip for a point or comma.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def whole(text: str) -> int:
    """Return a whole number as files write it, ``3`` or ``3.0``.

    Raises:
        ValueError: it is none.
    """
    value = number(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is no whole number")
    return int(value)


def four_numbers(values: Any) -> tuple[float, float, float, float] | None:
    """Return the numbers of a box in JSON; None where it isn't a list of four. Numbers as text count, true doesn't."""
    if not isinstance(values, list) or len(values) != 4 or bool in map(type, values):
        return None
    try:
        a, b, c, d = (number(value) if isinstance(value, str) else float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return a, b, c, d


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without their ends; bytes that are no UTF-8 are kept as they are in file names.

    Raises:
        OSError: it cannot be opened.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return [line.removesuffix("\r") for line in text.split("\n")]


@dataclass(frozen=True, eq=False)
class TextTable:
    """A text file of N rows of one width: the one that most of them have.

    Rows of another width are broken (a lost or added separator or line end moves all that follows to another column),
    and left out. Empty lines are passed over.

    Attributes:
        path: of the file.
        values: float64 N×W; NaN where a field is no number.
        lines: int64 N, the line of each row, from 1.
        words: N words of the column that isn't numbers; empty without such a column.
        broken: (line, what is wrong) of rows of another width.
        not_numbers: (line, what is wrong) of rows with a field that should be a number and isn't.
        texts: all lines of the file.
    """

    path: Path
    values: NDArray[np.float64]
    lines: NDArray[np.int64]
    words: NDArray[np.str_]
    broken: Sequence[tuple[int, str]]
    not_numbers: Sequence[tuple[int, str]]
    texts: Sequence[str]

    @classmethod
    def read(
        cls, path: Path, widths: Collection[int], *, separator: str | None = None, words_column: int | None = None
    ) -> TextTable:
        """Read a file.

        Args:
            path: of the file.
            widths: how many columns there may be.
            separator: between the columns; None takes commas or, where the first row has none, white space.
            words_column: the column that holds a word.

        Raises:
            OSError: it cannot be opened.
        """
        texts = text_lines(path)
        rows = [(place, line.strip()) for place, line in enumerate(texts, start=1) if line.strip()]
        if separator is None and rows and "," in rows[0][1]:
            separator = ","
        if words_column is None and rows:
            try:  # the fast way, for files without a fault
                values = np.loadtxt([line for _, line in rows], delimiter=separator, comments=None, ndmin=2)
                if values.shape[1] in widths:
                    lines = np.array([place for place, _ in rows], dtype=np.int64)
                    return cls(path, values, lines, np.zeros(0, np.str_), (), (), texts)
            except ValueError:
                pass
        return cls._read_row_by_row(
            path, texts, [(n, t.rstrip(separator).split(separator)) for n, t in rows], widths, words_column
        )

    @classmethod
    def _read_row_by_row(
        cls,
        path: Path,
        texts: Sequence[str],
        rows: Sequence[tuple[int, list[str]]],
        widths: Collection[int],
        words_column: int | None,
    ) -> TextTable:
        counts = Counter(len(fields) for _, fields in rows)
        known = [width for width, _ in counts.most_common() if width in widths]
        expected = str(known[0]) if known else " or ".join(map(str, sorted(widths)))
        broken = [
            (line, f"has {len(fields)} columns, expected {expected}")
            for line, fields in rows
            if [len(fields)] != known[:1]
        ]
        rows = [(line, fields) for line, fields in rows if [len(fields)] == known[:1]]
        values = np.full((len(rows), known[0] if known else max(widths)), np.nan)
        words, not_numbers = [], []
        for row, (line, fields) in enumerate(rows):
            for column, field in enumerate(fields):
                if column == words_column:
                    words.append(field)
                    continue
                try:
                    values[row, column] = number(field)
                except ValueError as error:
                    not_numbers.append((line, f"is no row of numbers ({error})"))
        lines = np.array([line for line, _ in rows], dtype=np.int64)
        return cls(path, values, lines, np.array(words, np.str_), broken, not_numbers, texts)

    def __len__(self) -> int:
        return len(self.values)

    def are_whole(self, *columns: int) -> NDArray[np.bool_]:
        """Tell which rows have whole numbers, below 2⁵³, in these columns: bool N."""
        values = self.values[:, columns]
        return np.asarray(((np.abs(values) < 2**53) & (values == np.trunc(values))).all(axis=1))

    def report_broken(self, report: Reports) -> None:
        """Report the rows of another width."""
        for line, fault in self.broken:
            report(self.path, "bad-row", f"line {line} {fault}; it is left out")

    def check(self) -> None:
        """Raise a ValueError unless all rows are of one width and hold numbers; it names the first that isn't so."""
        for line, fault in sorted((*self.broken, *self.not_numbers)):
            raise ValueError(f"{self.path}: line {line} {fault}: {self.texts[line - 1].strip():.100}")

    def fail(self, row: int, text: str) -> NoReturn:
        """Raise a ValueError that names the file and the line of a row."""
        raise ValueError(f"{self.path}: line {self.lines[row]}: {text}")
