"""TensorFlow's checkpoints (`ckpt-0.index` with `ckpt-0.data-00000-of-00001`), read without TensorFlow.

The index is a table as LevelDB writes it: blocks of sorted keys, of which each names the place of a variable's bytes in
the data. Sources: TensorFlow's tensor_bundle.proto and trackable_object_graph.proto, LevelDB's doc/table_format.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TYPES = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "<u1", 5: "<i2", 6: "<i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2", 22: "<u4",
    23: "<u8",
}  # fmt: skip
_STRING, _BFLOAT16 = 7, 14


@dataclass
class Entry:
    """The place of a variable: its type, shape and place; `slices` above 0 where it lies in parts."""

    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    slices: int = 0


class Bundle:
    """A checkpoint, of which variables are read one by one.

    Args:
        index: the file whose name ends with .index.

    Attributes:
        entries: key → where it is.

    Raises:
        ValueError: the file is no such index, or damaged.
    """

    def __init__(self, index: Path) -> None:
        self.index = index
        self.entries: dict[str, Entry] = {}
        self.shards = 1
        try:
            self._read(index.read_bytes())
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"{index} is a damaged index of a TensorFlow checkpoint ({error})") from error

    def _read(self, data: bytes) -> None:
        if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
            raise ValueError(f"{self.index} is no index of a TensorFlow checkpoint")
        footer = data[-_FOOTER:]
        place = _varint(footer, _varint(footer, 0)[1])[1]  # behind the handle of the table about the table
        for _, handle in _block(data, footer[place:]):
            for key, value in _block(data, handle):
                if key:
                    self.entries[key.decode("utf-8", "surrogateescape")] = _entry(value)
                    continue
                header = dict(_fields(value))
                self.shards = header.get(1, 1)
                if header.get(2, 0):
                    raise ValueError(f"{self.index}: the checkpoint is big-endian, which is not read")

    def array(self, key: str) -> NDArray[Any]:
        """Read a variable; a ValueError where it lies in parts, is no array, or the data file is too short."""
        entry = self.entries[key]
        if entry.slices:
            raise ValueError(f"{self.index}: {key} lies in {entry.slices} parts, which is not read")
        if entry.dtype == _BFLOAT16:
            bits = np.frombuffer(self._bytes(entry), "<u2").astype("<u4") << 16
            return bits.view("<f4").reshape(entry.shape)
        if entry.dtype not in _TYPES:
            raise ValueError(f"{self.index}: {key} is of TensorFlow's type {entry.dtype}, which is no array of numbers")
        values = np.frombuffer(self._bytes(entry), _TYPES[entry.dtype])
        if values.size != int(np.prod(entry.shape)):
            raise ValueError(f"{self.index}: {key} has {values.size} numbers, its shape is {entry.shape}")
        return values.reshape(entry.shape)

    def full_names(self) -> dict[str, str]:
        """Return key → Keras's name of the variable, of those that the graph of objects names."""
        entry = self.entries.get(GRAPH)
        if entry is None or entry.dtype != _STRING:
            return {}
        data = self._bytes(entry)
        length, place = _varint(data, 0)
        names = {}
        for kind, node in _fields(data[place + 4 : place + 4 + length]):  # a checksum stands between
            if kind != 1:
                continue
            for part, attribute in _fields(node):
                if part == 2:
                    values = dict(_fields(attribute))
                    names[values[3].decode()] = values.get(2, b"").decode()
        return names

    def _bytes(self, entry: Entry) -> bytes:
        path = self.index.with_suffix(f".data-{entry.shard:05d}-of-{self.shards:05d}")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the data of {self.index.name} are not beside it")
        with path.open("rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if len(data) != entry.size:
            raise ValueError(f"{path} is too short: is it whole?")
        return data


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a protobuf message; bytes of those that have a length."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, place = _varint(data, place)
        elif kind == 2:
            length, place = _varint(data, place)
            value, place = data[place : place + length], place + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, place = int.from_bytes(data[place : place + length], "little"), place + length
        else:
            raise IndexError(f"a field of kind {kind}")
        yield tag >> 3, value


def _block(data: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block; a key begins as the one before it."""
    offset, place = _varint(handle, 0)
    size, _ = _varint(handle, place)
    if data[offset + size] != 0:
        raise IndexError("a compressed block, as TensorFlow writes none")
    block = data[offset : offset + size]
    end = len(block) - 4 - 4 * int(struct.unpack_from("<I", block, len(block) - 4)[0])
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + fresh]
        place += fresh
        yield key, block[place : place + length]
        place += length


def _entry(value: bytes) -> Entry:
    entry = Entry()
    for kind, content in _fields(value):
        if kind == 2:
            entry.shape = [dict(_fields(side)).get(1, 0) for part, side in _fields(content) if part == 2]
        elif kind == 7:
            entry.slices += 1
        elif kind in (1, 3, 4, 5):
            setattr(entry, {1: "dtype", 3: "shard", 4: "offset", 5: "size"}[kind], content)
    return entry
