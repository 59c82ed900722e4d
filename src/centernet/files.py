"""Opening files that others may have laid out: a pipe, a device or a socket by a file's name is none."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST = 1 << 30
"""Bytes of a file that is read as a whole. Files with holes state any size, and take no room on the disk."""


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to be read. One that is no regular file, and might never end or answer, is an OSError."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        text = "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is a pipe, a device or a socket, no file"
        raise OSError(kind, text, os.fspath(path))
    return Path(path if status.st_size else os.devnull).open("rb")  # of /proc/kmsg a first byte may never come


def read_file(path: str | os.PathLike[str], *, most: int = MOST) -> bytes:
    """Return the content of a file; errors are those of `open_file`, an OSError too for more bytes than `most`."""
    with open_file(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            text = f"it has {size / (1 << 20):,.0f} MiB, and such a file no more than {most >> 20:,}"
            raise OSError(errno.EFBIG, text, os.fspath(path))
        return file.read()


class NamedBytes(io.BytesIO):
    """The content of an image's file that is no file here, with a name."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name: str = name
