"""The file of a shard: a row an image, with what was found in it or why it could not be read."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from centernet.column import Column
from centernet.detections import Detections
from centernet.extras import require
from centernet.text import writable

FORMATS = ("parquet", "jsonl")
"""Suffixes of the files, and what `--format` names."""

_TOGETHER = 1000  # rows that are turned into a table at once


class Rows(Protocol):
    """Gathers the rows of a shard."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row, as `row_of` makes it."""

    def content(self) -> bytes:
        """Return the file; nothing is added afterwards."""


def row_of(
    name: str, size_hw: tuple[int, int] | None, found: Detections | None, error: str | None, columns: Sequence[Column]
) -> dict[str, Any]:
    """Return the row of an image.

    Args:
        name: path or address.
        size_hw: of the image; None where it could not be read.
        found: its objects; None where it could not be read.
        error: why it could not; None else.
        columns: further ones of the objects; vectors are left out.

    Returns:
        `image`, `height`, `width`, `error`, and a list with an entry an object: `bboxes` (x1 y1 x2 y2 in pixels of the
        image), `labels`, `names`, `scores`, and the further columns.
    """
    lists: Mapping[str, Any] = {} if found is None else found.to_dict()
    keys = ("bboxes", "labels", "names", "scores", *(column.name for column in columns if column.kind != "vector"))
    height, width = size_hw or (None, None)
    row = {"image": writable(name), "height": height, "width": width, **{key: lists.get(key, []) for key in keys}}
    return row | {"names": list(map(writable, row["names"])), "error": None if error is None else writable(error)}


class JsonLines:
    """A line of JSON an image; numbers have seven digits."""

    def __init__(self) -> None:
        self._file = io.BytesIO()

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        line = json.dumps({key: _rounded(value) for key, value in row.items()}, ensure_ascii=False)
        self._file.write(line.encode() + b"\n")

    def content(self) -> bytes:
        """Return the lines."""
        return self._file.getvalue()


class ParquetFile:
    """A table of Parquet; boxes, scores and the further columns are lists of float32, int64 or bool.

    Args:
        columns: further ones of the objects.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._pyarrow = pyarrow = require("pyarrow", "writing Parquet")
        parquet = require("pyarrow.parquet", "writing Parquet")
        numbers = {"float32": pyarrow.float32(), "int64": pyarrow.int64(), "bool": pyarrow.bool_()}
        fields = {"image": pyarrow.string(), "height": pyarrow.int32(), "width": pyarrow.int32()}
        fields |= {
            "bboxes": pyarrow.list_(pyarrow.list_(numbers["float32"])),
            "labels": pyarrow.list_(numbers["int64"]),
        }
        fields |= {"names": pyarrow.list_(pyarrow.string()), "scores": pyarrow.list_(numbers["float32"])}
        for column in columns:
            kind = numbers[column.dtype]
            for _ in range(len(column.shape) + 1):
                kind = pyarrow.list_(kind)
            fields |= {} if column.kind == "vector" else {column.name: kind}
        self._schema = pyarrow.schema([*fields.items(), ("error", pyarrow.string())])
        self._file, self._waiting = io.BytesIO(), list[Mapping[str, Any]]()
        self._writer = parquet.ParquetWriter(self._file, self._schema)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._waiting.append(row)
        if len(self._waiting) == _TOGETHER:
            self._write()

    def content(self) -> bytes:
        """Return the file."""
        self._write()
        self._writer.close()
        return self._file.getvalue()

    def _write(self) -> None:
        self._writer.write_table(self._pyarrow.Table.from_pylist(self._waiting, self._schema))
        self._waiting.clear()


def new_rows(form: str, columns: Sequence[Column]) -> Rows:
    """Begin a file in one of `FORMATS`."""
    return ParquetFile(columns) if form == "parquet" else JsonLines()


def _rounded(value: Any) -> Any:
    """Return a value with its numbers to seven digits, those of float32."""
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value
