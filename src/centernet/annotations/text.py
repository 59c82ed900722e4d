"""Numbers, lines and tables in text files."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import open_file
from .problems import Reports, read_bytes


def number(text: str) -> float:
    """Return a number as files write it; ``1_000`` is a ValueError too: a slip for a point or comma."""
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def number_or_none(text: str) -> float | None:
    """Return a number as files write it; None for what is none."""
    try:
        return number(text)
    except ValueError:
        return None


def json_box(values: Any) -> tuple[float, float, float, float] | None:
    """Return ``x1 y1 x2 y2`` of ``[x, y, width, height]``; None unless it has four numbers, perhaps as text."""
    if not isinstance(values, list) or len(values) != 4 or bool in map(type, values):
        return None
    try:
        x, y, width, height = (number(value) if isinstance(value, str) else float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return x, y, x + width, y + height


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without their ends; bytes that are no UTF-8 are kept as in file names."""
    text = read_bytes(path).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return [line.removesuffix("\r") for line in text.split("\n")]


def filled_lines(path: Path) -> dict[int, str]:
    """Return the lines of a text file that hold more than white space, without that around them, by number from 1."""
    return {place: text.strip() for place, text in enumerate(text_lines(path), start=1) if text.strip()}


def iterate_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file as `text_lines` returns them, without holding them all; UTF-16 by its mark too."""
    with open_file(path) as file:
        start = file.read(3)
        if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            text = (start + file.read()).decode("utf-16", "replace")
            yield from (line.removesuffix("\r") for line in text.split("\n"))
            return
        file.seek(len(codecs.BOM_UTF8) if start == codecs.BOM_UTF8 else 0)
        for line in file:
            yield line.decode("utf-8", "surrogateescape").rstrip("\r\n")


@dataclass(frozen=True, eq=False)
class TextTable:
    """A text file of N rows of one width: the one that most of them have.

    Rows of another width are broken (a lost or added separator or line end moves all that follows to another column),
    and left out. Empty lines are passed over.
    """

    path: Path
    values: NDArray[np.float64]  # N×W; NaN where a field is no number
    lines: NDArray[np.int64]  # of each row, from 1
    words: NDArray[np.str_]  # of the column that isn't numbers; empty without such a column
    faults: Mapping[int, str]  # by line: another width, or a field that is no number
    texts: Sequence[str]  # all lines of the file

    @classmethod
    def read(
        cls, path: Path, widths: Collection[int], *, separator: str | None = None, words_column: int | None = None
    ) -> TextTable:
        """Read a file with one of the given numbers of columns, of which one may hold words.

        Without a `separator` columns are parted by commas or, where the first row has none, by white space.
        """
        texts = text_lines(path)
        rows = {line: text.strip() for line, text in enumerate(texts, start=1) if text.strip()}
        if separator is None and "," in next(iter(rows.values()), ""):
            separator = ","
        if words_column is None and rows:
            with suppress(ValueError):  # the fast way, for files without a fault
                values = np.loadtxt(list(rows.values()), delimiter=separator, comments=None, ndmin=2)
                if values.shape[1] in widths:
                    return cls(path, values, np.array(list(rows), dtype=np.int64), np.zeros(0, np.str_), {}, texts)
        split = {line: text.rstrip(separator).split(separator) for line, text in rows.items()}
        width = next((n for n, _ in Counter(map(len, split.values())).most_common() if n in widths), 0)
        expected = width or " or ".join(map(str, sorted(widths)))
        faults = {n: f"has {len(row)} columns, expected {expected}" for n, row in split.items() if len(row) != width}
        lines, numeric = [n for n in split if n not in faults], [n for n in range(width) if n != words_column]
        values = np.full((len(lines), width or max(widths)), np.nan)
        for row, line in enumerate(lines):
            for column in numeric:
                try:
                    values[row, column] = number(split[line][column])
                except ValueError as error:
                    faults[line] = f"is no row of numbers ({error})"
        words = [] if words_column is None else [split[line][words_column] for line in lines]
        return cls(path, values, np.array(lines, dtype=np.int64), np.array(words, np.str_), faults, texts)

    def __len__(self) -> int:
        return len(self.values)

    def are_whole(self, *columns: int) -> NDArray[np.bool_]:
        """Tell which rows have whole numbers, below 2⁵³, in these columns: bool N."""
        values = self.values[:, columns]
        return np.asarray(((np.abs(values) < 2**53) & (values == np.trunc(values))).all(axis=1))

    def select(self, rows: NDArray[np.bool_]) -> TextTable:
        """Return the rows of a mask."""
        words = self.words[rows] if len(self.words) else self.words
        return replace(self, values=self.values[rows], lines=self.lines[rows], words=words)

    def numbers(self, report: Reports, *, used: Sequence[int], whole: Sequence[int], what: str) -> TextTable:
        """Return the rows with numbers in the columns `used`, whole ones in `whole`; the others are reported."""
        good = np.isfinite(self.values[:, [*used]]).all(axis=1) & self.are_whole(*whole)
        faults = {line: f" {fault}" for line, fault in self.faults.items() if line not in self.lines}
        for line in self.lines[~good].tolist():
            faults[line] = f": {' '.join(self.texts[line - 1].split()).rstrip(','):.100} is no {what}"
        for line, fault in sorted(faults.items()):
            report(self.path, "bad-row", f"line {line}{fault}; it is left out")
        return self.select(good)

    def without_repeated(self, report: Reports) -> TextTable:
        """Return the rows but for further ones of the same frame and identity (columns 1 and 2), which are reported."""
        named = np.flatnonzero(self.values[:, 1] >= 0)
        _, first = np.unique(self.values[named, :2], axis=0, return_index=True)
        again = np.zeros(len(self), dtype=np.bool_)
        again[np.delete(named, first)] = True
        return self.keep(~again, report, "duplicate", lambda row: "this identity is in the frame again")

    def keep(self, good: NDArray[np.bool_], report: Reports, kind: str, fault: Callable[[int], str]) -> TextTable:
        """Return the good rows; of the others, which begin with a frame and an identity, report what is wrong."""
        for row in np.flatnonzero(~good).tolist():
            word = f", {self.words[row]:.40}" if len(self.words) else ""
            where = f"frame {self.values[row, 0]:.0f}, identity {self.values[row, 1]:.0f}{word}"
            report(self.path, kind, f"line {self.lines[row]} ({where}): {fault(row)}; it is left out")
        return self.select(good)
