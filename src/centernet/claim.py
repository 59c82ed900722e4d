"""One run for a folder: a second process that would write to it at the same time is told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from centernet.whole import explaining

fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None  # not on Windows
msvcrt: Any = import_module("msvcrt") if find_spec("msvcrt") else None  # on Windows alone

LOCK = ".centernet-lock"
"""Name of the file that a process holds while it writes to a folder."""
_ours = dict[str, IO[str]]()  # folders that this process holds
_FAR = 1 << 30  # Windows locks bytes against reading too: one that the file has not


@contextlib.contextmanager
def claimed(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder, made if missing, for this process until the end, however that comes.

    File systems that know no locks (some of networks) grant it to everyone.

    Raises:
        ValueError: another process holds it.
    """
    folder = Path(folder)
    made = not folder.exists()
    file = _hold(folder)
    try:
        yield
    finally:
        if file is not None:
            _let_go(file)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # nothing was written


def new_folder(folder: Path, names: Iterator[str]) -> Path:
    """Make the first folder of these names that is not there: of several processes each gets its own."""
    for name in names:
        with contextlib.suppress(FileExistsError):
            (folder / name).mkdir(parents=True)
            return folder / name
    raise ValueError(f"{folder}: no name for a new folder is left")


def _hold(folder: Path) -> IO[str] | None:
    with explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if os.path.realpath(folder) in _ours:  # a process is not locked out by itself
        raise ValueError(f"{folder}: another run in this process writes to this folder now; give another --output")
    while True:
        with explaining(folder):
            file = (folder / LOCK).open("a+", encoding="utf-8")
        try:
            free = _lock(file)
        except OSError:  # no locks here
            file.close()
            return None
        if not free:
            file.seek(0)
            number = file.read().strip()
            file.close()
            by = f"process {number}" if number.isdecimal() else "another process"
            raise ValueError(f"{folder}: {by} writes to this folder now; wait for its end, or give another --output")
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(file.name), os.fstat(file.fileno())):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
                _ours[os.path.realpath(folder)] = file
                return file
        file.close()  # another process has removed it at its end


def _let_go(file: IO[str]) -> None:
    for folder in [folder for folder, held in _ours.items() if held is file]:
        del _ours[folder]
    with contextlib.suppress(OSError):
        if fcntl is None:
            file.close()  # Windows removes no open files
        os.unlink(file.name)  # elsewhere while it is held: afterwards it may be another's
    file.close()


def _lock(file: IO[str]) -> bool:
    """Lock a file for this process; False where another has it. Forked processes do not hold it with their parent."""
    try:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    return True
