"""Standard streams that are there and never end a run: services have none, and the reader of a pipe may go."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def usable_streams() -> Iterator[Lost]:
    """Make standard output and error usable while the command of this process runs; gives what of them was lost.

    Streams that are closed are the null device: else the first file that is opened would be taken for one of them. What
    cannot be written (`centernet … | head`, a full disk) is dropped, and the run goes on to its end.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    lost = Lost()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_usable(stream, number, lost) for number, stream in enumerate(before, 1))
    try:
        yield lost
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


class Lost:
    """The error of a stream that could not be written; None where nothing was lost, or its reader went."""

    error: OSError | None = None


def _usable(stream: Any, number: int, lost: Lost) -> Any:
    """Return a stream of this file that passes over what cannot be written."""
    lenient = _Lenient(number, lost)
    if stream is None:
        return io.TextIOWrapper(lenient, encoding="utf-8", errors="backslashreplace", write_through=True)
    buffer = getattr(stream, "buffer", None)  # the file itself with PYTHONUNBUFFERED
    if type(getattr(buffer, "raw", buffer)) is not io.FileIO:  # the console of Windows has its own encoding
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(lenient) if hasattr(buffer, "raw") else lenient,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Lenient(io.FileIO):
    """A standard stream that drops what cannot be written."""

    def __init__(self, number: int, lost: Lost) -> None:
        super().__init__(number, "wb", closefd=False)
        self._lost, self._gone = lost, False

    def write(self, data: Any) -> int:
        """Write bytes; the first error is kept, and the rest passed over."""
        try:
            while not self._gone:
                written: int | None = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # a pipe that does not wait for its reader
        except BrokenPipeError:
            self._gone = True
        except OSError as error:
            self._gone, self._lost.error = True, error
        return memoryview(data).nbytes
