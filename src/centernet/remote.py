"""Files of other machines by their addresses, such as ``s3://bucket/photos``: fsspec's file systems."""

from __future__ import annotations

import re
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from centernet.extras import require
from centernet.files import open_file

LARGEST = 200_000_000
"""Bytes that an image of an archive, or at an address, may have."""

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def is_address(text: Any) -> bool:
    """Return True for an address, as ``https://…`` or ``rtsp://…``."""
    return isinstance(text, str) and _ADDRESS.match(text) is not None


def is_remote(source: str) -> bool:
    """Return True for an address, as ``s3://bucket/photos``, also in a chain of fsspec's, ``simplecache::s3://…``."""
    return is_address(source.rpartition("::")[2]) or is_address(source)


def without_password(address: str) -> str:
    """Return an address without user, password and query, to be shown."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def file_system(source: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address such as ``s3://bucket/photos``, and the path there.

    Raises:
        ImportError: fsspec, or the package that the scheme needs, is not installed.
        OSError: no such file system, or no way to it.
    """
    fsspec = require("fsspec", "reading from addresses")
    try:
        system, path = fsspec.core.url_to_fs(source)
    except ImportError:  # names the package that the scheme needs
        raise
    except Exception as error:  # each file system has its own
        raise OSError(f"{without_password(source)}: cannot be opened ({error})") from error
    return system, path


def open_there(system: Any, path: str) -> BinaryIO:
    """Open a file of a file system, or of this machine where that is None."""
    file: BinaryIO = open_file(path) if system is None else system.open(path, "rb")
    return file
