"""Where decoded pictures are kept: in memory that forked processes share, or in a file that all processes share.

Both are a table with a row for each picture, and room for pixels that is given away from its beginning and never taken
back. A process takes room under a lock, fills it while others go on, and enters the picture in the table last, so that
what is in the table is whole.
"""

from __future__ import annotations

import hashlib
import mmap
import multiprocessing
import os
import shutil
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .sample import DataError, DataWarning, Ints, Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Kept(NamedTuple):
    """A picture that is kept.

    Attributes:
        pixels: uint8 h×w×3, not to be written to.
        size_hw: (height, width) of the picture itself.
        covered_hw: how much of it the pixels stand for: as much, or slightly more where its sides are no multiple of
            what it was reduced by.
    """

    pixels: Pixels
    size_hw: tuple[int, int]
    covered_hw: tuple[int, int]


# Columns of the table.
_PLACE, _SHAPE, _SIZE, _COVERED, _STAMP, _SUM = 0, slice(1, 3), slice(3, 5), slice(5, 7), slice(7, 9), 9
_COLUMNS = 10
_ABSENT = -1


class PictureStore(ABC):
    """Pixels of pictures, by index.

    Attributes:
        table: int64 N×10, shared: place of the pixels (-1 where there are none), height and width of them, of the
            picture, and of what is covered, the file's time of change and size, sum of the pixels.
        in_use: int64 1, shared: bytes of room that are given away.
        room: uint8, shared.
        capacity: bytes of room that may be given away.
    """

    table: Ints
    in_use: Ints
    room: NDArray[np.uint8]
    capacity: int

    @property
    def used(self) -> int:
        """Bytes of room that are in use."""
        return int(self.in_use[0])

    def get(self, index: int, stamp: tuple[int, int]) -> Kept | None:
        """A picture, if it is kept and its file is still the same."""
        with self.locked():
            row = self.table[index].copy()
        place, height, width = row[:3].tolist()
        if place == _ABSENT or tuple(row[_STAMP].tolist()) != stamp:
            return None
        pixels = self.room[place : place + height * width * 3]
        if pixels.size < height * width * 3:  # a process with a larger capacity put it there
            return None
        if not self.is_whole(index, pixels, int(row[_SUM])):
            self._forget(index, place)
            return None
        pixels = pixels.reshape(height, width, 3)
        pixels.flags.writeable = False
        (size_h, size_w), (covered_h, covered_w) = row[_SIZE].tolist(), row[_COVERED].tolist()
        return Kept(pixels, (size_h, size_w), (covered_h, covered_w))

    def put(self, index: int, stamp: tuple[int, int], kept: Kept) -> None:
        """Keep a picture, if there is room and nobody else has."""
        size = kept.pixels.size
        with self.locked():
            row = self.table[index]
            start = self.used
            if row[_PLACE] != _ABSENT and tuple(row[_STAMP].tolist()) == stamp:
                return
            if start + size > self.capacity:
                return
            self.in_use[0] = start + size + -size % 8
        if not self.write(start, kept.pixels):
            return
        new = np.array([start, *kept.pixels.shape[:2], *kept.size_hw, *kept.covered_hw, *stamp, _sum(kept.pixels)])
        with self.locked():
            self.table[index] = new

    def _forget(self, index: int, place: int) -> None:
        with self.locked():
            if self.table[index, _PLACE] == place:
                self.table[index, _PLACE] = _ABSENT

    @abstractmethod
    def locked(self) -> AbstractContextManager[Any]:
        """A time in which no other process changes anything."""

    @abstractmethod
    def write(self, start: int, pixels: Pixels) -> bool:
        """Fill room; whether that worked."""

    @abstractmethod
    def is_whole(self, index: int, pixels: Pixels, expected: int) -> bool:
        """Whether pixels are as they were written."""


class SharedMemory(PictureStore):
    """Anonymous memory that processes forked later share. The system gives a page when it is first written to.

    Args:
        count: of pictures.
        capacity: bytes of pixels.

    Raises:
        DataError: the system does not grant it.
    """

    def __init__(self, count: int, capacity: int) -> None:
        self.capacity = capacity
        try:
            numbers = np.frombuffer(mmap.mmap(-1, 8 * (1 + _COLUMNS * count)), dtype=np.int64)
            self.room = np.frombuffer(mmap.mmap(-1, capacity), dtype=np.uint8)
        except (OSError, OverflowError, ValueError) as error:
            raise DataError(
                f"data.cache_gib: the system grants no {capacity / 2**30:g} GiB of shared memory ({error}); give less"
            ) from error
        self.in_use, self.table = numbers[:1], numbers[1:].reshape(count, _COLUMNS)
        self.table[:, _PLACE] = _ABSENT
        self._lock = multiprocessing.Lock()

    def locked(self) -> AbstractContextManager[Any]:
        return self._lock

    def write(self, start: int, pixels: Pixels) -> bool:
        self.room[start : start + pixels.size] = pixels.reshape(-1)
        return True

    def is_whole(self, index: int, pixels: Pixels, expected: int) -> bool:
        return True


_MAGIC = int.from_bytes(b"cnpics01", "little")
_HEADER = 3  # numbers before the table: magic, pictures, bytes in use


class SharedFile(PictureStore):
    """A file, mapped into memory, that any number of processes and runs read and add to.

    The file is as long as its capacity from the beginning, but takes no more of the disk than was written. What a
    process that was killed had not entered in the table is lost room. After a crash of the whole system, pixels may not
    have reached the disk although the table has: so each process adds them up before it takes a picture for the first
    time, and a picture whose sum is another counts as not kept.

    Args:
        path: of the file.
        count: of pictures.
        capacity: bytes of pixels.

    Raises:
        DataError: it cannot be made, is something else, or the system cannot lock or map files.
    """

    def __init__(self, path: Path, count: int, capacity: int) -> None:
        self.path = path
        self.capacity = capacity
        self._start = -(-8 * (_HEADER + _COLUMNS * count) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._locks = _file_locks()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataError(f"data.cache_dir: {path} cannot be opened for writing ({error.strerror})") from error
        weakref.finalize(self, os.close, self._file)
        try:
            with self.locked():
                self._begin(count)
                if os.fstat(self._file).st_size < self._start + capacity:
                    os.truncate(self._file, self._start + capacity)
            mapped = mmap.mmap(self._file, 0)
        except (OSError, ValueError) as error:
            raise DataError(
                f"data.cache_dir: {path} cannot be locked, extended or mapped into memory ({error}); "
                "set it to a folder on another disk"
            ) from error
        numbers = np.frombuffer(mapped, dtype=np.int64, count=_HEADER + _COLUMNS * count)
        self.in_use, self.table = numbers[2:3], numbers[_HEADER:].reshape(count, _COLUMNS)
        self.room = np.frombuffer(mapped, dtype=np.uint8)[self._start :]
        self._known = np.full(count, _ABSENT, dtype=np.int64)  # places whose sums this process has seen to be right

    def _begin(self, count: int) -> None:
        """Write an empty table unless there is one; its first number is written last."""
        magic, pictures, _ = np.frombuffer(os.pread(self._file, 8 * _HEADER, 0).ljust(8 * _HEADER, b"\0"), np.int64)
        if magic == _MAGIC and pictures == count:
            return
        if magic != 0:
            raise DataError(f"{self.path}: this is no cache of {count} pictures; delete it, or set data.cache_dir")
        os.truncate(self._file, 0)
        table = np.zeros((count, _COLUMNS), dtype=np.int64)
        table[:, _PLACE] = _ABSENT
        _write(self._file, np.array([0, count, 0]).tobytes() + table.tobytes(), 0)
        _write(self._file, np.array([_MAGIC]).tobytes(), 0)

    @contextmanager
    def locked(self) -> Iterator[None]:
        self._locks.lockf(self._file, self._locks.LOCK_EX)  # of a process, so forked ones exclude each other
        try:
            yield
        finally:
            self._locks.lockf(self._file, self._locks.LOCK_UN)

    def write(self, start: int, pixels: Pixels) -> bool:
        try:  # not through the mapping: where a disk is full that ends the process
            _write(self._file, np.ascontiguousarray(pixels).reshape(-1).data, self._start + start)
        except OSError as error:
            self.capacity = 0
            warnings.warn(
                f"{self.path}: {error.strerror}; no more pictures are kept there by this process. "
                "Delete what is not needed, or set data.cache_gib to less",
                DataWarning,
                stacklevel=2,
            )
            return False
        return True

    def is_whole(self, index: int, pixels: Pixels, expected: int) -> bool:
        place = int(pixels.ctypes.data - self.room.ctypes.data)
        if self._known[index] == place:
            return True
        right = _sum(pixels) == expected
        if right:
            self._known[index] = place
        return right


def file_name(what: str, paths: list[str], settings: str) -> str:
    """The name of the file for the pictures of these paths, kept with these settings."""
    digest = hashlib.blake2b("\0".join([settings, *paths]).encode("utf-8", "surrogateescape"), digest_size=12)
    return f"{what}_{digest.hexdigest()}.bin"


def check_disk(path: Path, wanted: int) -> None:
    """Raise DataError unless the disk has room for `wanted` bytes in all in a file that may exist."""
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    present = path.stat().st_blocks * 512 if path.exists() else 0
    free = shutil.disk_usage(folder).free
    if free + present < wanted:
        raise DataError(
            f"data.cache_dir: {folder} has {free / 2**30:.1f} GiB free, but the pictures need "
            f"{wanted / 2**30:.1f} GiB; set data.cache_gib to less, or data.cache_dir to another disk"
        )


def _sum(pixels: Pixels) -> int:
    """All pixels added up, eight bytes at a time; a page that is lost changes it. 4 % of the time that CRC-32 takes."""
    flat = np.ascontiguousarray(pixels).reshape(-1)
    whole = flat[: len(flat) // 8 * 8].view(np.int64)
    return int(np.add.reduce(whole)) ^ int(np.add.reduce(flat[len(whole) * 8 :], dtype=np.int64))


def _write(file: int, data: bytes | memoryview, place: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, place)
        left, place = left[written:], place + written


def _file_locks() -> Any:
    """The module that locks files."""
    try:
        import fcntl
    except ImportError as error:
        raise DataError("data.cache: disk needs a system with POSIX file locks; use memory or none") from error
    return fcntl
