"""Big JSON files entry by entry: a file of lists is never in memory as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_CHUNK = 1 << 20  # characters that are read at once
_SPACE = " \t\n\r"


def read_lists(path: Path) -> Iterator[tuple[str, int | None, Any]]:
    """Read a file that holds an object, entry after entry of its lists.

    Yields:
        (key, place in the list, entry) of each entry of a list; (key, None, []) at the beginning of a list, and
        (key, None, value) of any other value.

    Raises:
        OSError: the file cannot be opened.
        ValueError, RecursionError: it is no JSON; as `json.load` says it.
        NotAnObject: it holds something else.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _Stream(file).entries()
    except (ValueError, RecursionError):
        with path.open(encoding="utf-8-sig") as file:  # for the place and the words of the error
            content = json.load(file)
        raise NotAnObject(content) from None


class NotAnObject(ValueError):
    """A JSON file holds something else than an object.

    Attributes:
        content: what it holds.
    """

    def __init__(self, content: Any) -> None:
        super().__init__(f"expected an object, got {type(content).__name__}")
        self.content = content


class _Stream:
    """The text of a file, of which only the part that is being parsed is kept."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def entries(self) -> Iterator[tuple[str, int | None, Any]]:
        self._expect("{")
        if self._next() != "}":
            while True:
                key = self._value()
                if not isinstance(key, str):
                    raise ValueError("expected a key")
                self._expect(":")
                if self._next() == "[":
                    yield key, None, []
                    yield from ((key, place, entry) for place, entry in enumerate(self._list()))
                else:
                    yield key, None, self._value()
                if self._next() != ",":
                    break
                self._expect(",")
        self._expect("}")
        if self._next():
            raise ValueError("extra data")

    def _list(self) -> Iterator[Any]:
        self._expect("[")
        if self._next() != "]":
            yield self._value()
            while self._next() == ",":
                self._expect(",")
                yield self._value()
        self._expect("]")

    def _next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._fill()

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise ValueError(f"expected {character!r}")
        self._at += 1

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except ValueError:
                if self._ended:
                    raise
            else:
                if end < len(self._text) or self._ended:  # at the end of the text a number may go on
                    self._at = end
                    return value
            self._fill()

    def _fill(self) -> None:
        """Read on: twice as much each time that a single value doesn't fit."""
        rest = self._text[self._at :]
        chunk = self._file.read(max(_CHUNK, len(rest)))
        self._text, self._at, self._ended = rest + chunk, 0, not chunk
