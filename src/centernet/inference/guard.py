"""No output takes the place of an input."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any


class Inputs:
    """The files that a run reads, which nothing that it writes may take the place of.

    Files are the same by whatever names and links they are reached: a symbolic or hard link, another spelling where
    upper case is lower case.

    Args:
        paths: of files; what is no path (an array, a number, None) is passed over.
    """

    def __init__(self, paths: Iterable[Any] = ()) -> None:
        self.paths = [Path(path) for path in paths if isinstance(path, (str, os.PathLike))]

    def check(self, *outputs: str | os.PathLike[str]) -> None:
        """Raise a ValueError if one of the outputs is an input; only those that are there already can be."""
        for output in map(Path, outputs):
            key = _identity(output)
            if key is not None and (found := self._files.get(key)) is not None:
                same = os.path.abspath(found) == os.path.abspath(output)
                text = "is an input of this run" if same else f"is the same file as the input {found}"
                raise ValueError(f"{output}: {text}, and would be written over; write to another place (--output)")

    def check_folder(self, folder: str | os.PathLike[str]) -> None:
        """Raise a ValueError if an input lies in a folder that is to be filled."""
        key = _identity(Path(folder))
        if key is not None and key in map(_identity, dict.fromkeys(path.parent for path in self.paths)):
            raise ValueError(f"{folder}: the images themselves are in this folder; write to another (--output)")

    @cached_property
    def _files(self) -> dict[tuple[int, int], Path]:
        return {key: path for path in self.paths if (key := _identity(path)) is not None}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
