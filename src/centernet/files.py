"""Opening files that others may have laid out: a pipe, a device or a socket by a file's name is none."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to be read. One that is no regular file, and might never end or answer, is an OSError."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        text = "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is a pipe, a device or a socket, no file"
        raise OSError(kind, text, os.fspath(path))
    return Path(path).open("rb")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file; errors are those of `open_file`."""
    with open_file(path) as file:
        return file.read()
