"""Big JSON files entry by entry: a file of lists is never in memory as a whole."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from ..documents import UnpackedError, read_json_file, unpacked
from ..files import open_file
from .problems import note_read

_CHUNK = 1 << 20  # characters that are read at once
_SPACE = re.compile(r"[ \t\n\r]*")
_GOES_ON = ("", ".", "e", "E", "+", "-")  # behind a number that is cut off where the text ends


def read_lists(path: Path) -> Iterator[tuple[str, int | None, Any]]:
    """Read a file that holds an object, perhaps compressed (gzip), entry after entry of its lists.

    Yields:
        (key, place in the list, entry) of each entry of a list; (key, None, []) at the beginning of a list, and
        (key, None, value) of any other value. Of a file that holds something else, ("", None, that) in the end.
        Errors are those of `centernet.documents.read_json_file`.
    """
    try:
        with opened_text(path) as file:
            yield from _Stream(file).entries()
        note_read(path)
    except (ValueError, RecursionError):
        with opened_text(path) as file:  # for the place and the words of the error
            yield "", None, read_json_file(file)


@contextmanager
def opened_plain(path: Path) -> Iterator[Any]:
    """Open the bytes of a file, or those that it has compressed (gzip, see `unpacked`), whatever its name."""
    with open_file(path) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield unpacked(raw) if packed else raw


@contextmanager
def opened_text(path: Path) -> Iterator[IO[str]]:
    """Open a text; that its compressed form is damaged, or unpacks to too much, is a ValueError."""
    try:
        with opened_plain(path) as stream, TextIOWrapper(stream, encoding="utf-8-sig") as file:
            yield file
    except UnpackedError as error:
        raise ValueError(str(error)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"its compressed form is cut off or damaged: {error}") from error


class _Stream:
    """The text of a file, of which only the part that is being parsed is kept."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text, self._at, self._ended = "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def entries(self) -> Iterator[tuple[str, int | None, Any]]:
        self._expect("{")
        for _ in self._items("}"):
            key = self._value()
            if not isinstance(key, str):
                raise ValueError("expected a key")
            self._expect(":")
            if self._pass("["):
                yield key, None, []
                for place in self._items("]"):
                    yield key, place, self._value()
            else:
                yield key, None, self._value()
        self._pass("")
        if self._at < len(self._text):
            raise ValueError("extra data")

    def _items(self, end: str) -> Iterator[int]:
        """Count the items of an object or a list; each is read by whoever asks for its number."""
        place, another = 0, not self._pass(end)
        while another:
            yield place
            place, another = place + 1, self._pass(",")
            if not another:
                self._expect(end)

    def _pass(self, character: str) -> bool:
        """Pass over white space, and over `character` where it comes next. Returns True if it does."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or self._ended:
                break
            self._fill()
        found = self._text.startswith(character, self._at)
        self._at += len(character) if found else 0
        return found

    def _expect(self, character: str) -> None:
        if not self._pass(character):
            raise ValueError(f"expected {character!r}")

    def _value(self) -> Any:
        self._pass("")
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except ValueError:
                if self._ended:
                    raise
            else:
                if self._ended or self._text[end : end + 1] not in _GOES_ON:
                    self._at = end
                    return value
            self._fill()

    def _fill(self) -> None:
        """Read on: twice as much each time that a single value doesn't fit."""
        rest = self._text[self._at :]
        chunk = self._file.read(max(_CHUNK, len(rest)))
        self._text, self._at, self._ended = rest + chunk, 0, not chunk
