"""The one door for YAML and JSON that others may have written: what would grow without end is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
from typing import IO, Any, BinaryIO

import yaml

DIGITS = 1000
"""Characters that a whole number in a YAML file may have: reading one in base 60 takes the square of its length."""

DEPTH = 100
"""Lists and mappings in one another that a YAML file may have."""

NODES = 1_000_000
"""Values that a YAML file may stand for, aliases counted as often as they are used."""

UNPACKED = 64 << 20
"""Bytes that any compressed file may unpack to."""

RATIO = 50
"""Times its size that a larger one may unpack to. Annotations unpack to five or ten times, blanks to a thousand."""


class DocumentError(ValueError):
    """A text is no YAML or JSON, or one that would take too much memory; the message lacks its name."""


class _Limits:
    """Part of a loader of YAML that refuses deep nesting, and aliases that stand for too much."""

    _level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._level += 1
        if self._level > DEPTH:
            raise DocumentError(f"has more than {DEPTH} lists and mappings in one another")
        node = super().compose_node(parent, index)  # type: ignore[misc]
        self._level -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)  # type: ignore[misc]
        if node.tag == "tag:yaml.org,2002:int" and len(node.value) > DIGITS:
            raise DocumentError(f"has a number of {len(node.value):,} characters")
        return node

    def compose_document(self) -> Any:
        node = super().compose_document()  # type: ignore[misc]
        _count(node, {})
        return node


class _Safe(_Limits, yaml.SafeLoader):
    pass


class _Texts(_Limits, yaml.BaseLoader):
    pass


def read_yaml_text(text: str | bytes, *, texts: bool = False) -> Any:
    """Return the content of a YAML text, read by the safe loader.

    Args:
        text: of one document.
        texts: leave all values as texts.

    Raises:
        DocumentError: it is no YAML, nested deeper than `DEPTH`, stands for more than `NODES` values, or a part of it
            holds itself.
    """
    try:
        return yaml.load(text, Loader=_Texts if texts else _Safe)
    except DocumentError:
        raise
    except RecursionError as error:
        raise DocumentError(f"has more than {DEPTH} lists and mappings in one another") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, LookupError) as error:
        raise DocumentError(str(error)) from error  # of a date or number that is none, the constructor's own error


def check_yaml_text(text: str) -> None:
    """Raise a DocumentError where a YAML text that another loader is to read goes beyond a limit."""
    if not any(mark in text for mark in "[{:-"):
        return
    try:
        yaml.compose(text, Loader=_Safe)
    except RecursionError as error:
        raise DocumentError(f"has more than {DEPTH} lists and mappings in one another") from error
    except yaml.YAMLError:  # which the other loader tells
        return


def read_json_text(text: str | bytes) -> Any:
    """Return the content of a JSON text; a DocumentError where it is none, or nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise DocumentError("has too many lists and objects in one another to be read") from error
    except ValueError as error:
        raise DocumentError(str(error)) from error


class UnpackedError(OSError):
    """A compressed file goes on beyond what it may unpack to."""


def unpacked(file: BinaryIO) -> io.BufferedReader:
    """Return the bytes that an open file has compressed (gzip).

    Reading on beyond `UNPACKED` bytes, or `RATIO` times the size of the file where that is more, is an UnpackedError.
    """
    return io.BufferedReader(_Unpacked(file), 1 << 16)


class _Unpacked(io.RawIOBase):
    """The open file that `unpacked` reads from."""

    def __init__(self, file: BinaryIO) -> None:
        self._gzip = gzip.GzipFile(fileobj=file)
        self._left = self._most = max(UNPACKED, RATIO * os.fstat(file.fileno()).st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        number = self._gzip.readinto(buffer)
        self._left -= number
        if self._left < 0:
            text = f"unpacks to more than {self._most >> 20} MiB, {RATIO} times its size or more"
            raise UnpackedError(f"{text}; if that is right, unpack it yourself (gunzip) and give the file inside")
        return number


def read_json_file(file: IO[Any]) -> Any:
    """Return the content of an open JSON file; errors are those of `read_json_text`."""
    return read_json_text(file.read())


def _count(node: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Return how many values a composed node stands for, and how deep they are in one another."""
    if (found := known.get(id(node))) is not None:
        if not found[0]:
            raise DocumentError("has a part that holds itself")
        return found
    known[id(node)] = 0, 0
    total, deepest = 1, 0
    parts = node.value if node is not None and isinstance(node.value, list) else ()
    for part in parts:
        for one in part if isinstance(part, tuple) else (part,):
            number, depth = _count(one, known)
            total, deepest = total + number, max(deepest, depth)
            if total > NODES:
                raise DocumentError(f"stands for more than {NODES:,} values, by aliases that are used again and again")
            if deepest >= DEPTH:
                raise DocumentError(f"has more than {DEPTH} lists and mappings in one another")
    known[id(node)] = total, deepest + bool(parts)
    return known[id(node)]
