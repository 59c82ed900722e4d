"""Files that are whole or not there: written beside their place, flushed to the disk, and renamed.

What was there before stays until then, also where the disk is full or the process is killed. A killed process may leave
hidden parts (`.centernet-HOST-PID-N.part`); the next one that writes to the folder removes them.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from centernet.ending import held

PATIENCE = 3.0
"""Seconds that a rename is tried anew on Windows, where nobody may have the old file open (virus scanners do)."""
REASONS = {
    "ENOSPC": "its disk is full; free space, or write to another place",
    "EDQUOT": "the quota of its disk is used up; free space, or write to another place",
    "EROFS": "its file system is read-only; write to another place",
    "EACCES": "there is no permission to write to it, or another program has it open; write to another place",
    "EPERM": "there is no permission to write to it; write to another place",
    "EFBIG": "it is larger than a file may be here (ulimit -f, or the file system); write to another place",
    "EBUSY": "it cannot be replaced, as another program uses it or a container has it mounted; write to another place",
    "EIO": "its disk reports an error; write to another place",
}
"""Name of an error of the system → what is the matter, and the next step."""

_HOST = re.sub(r"\W", "", platform.node())[:24] or "host"
_PART = re.compile(rf"\.centernet-{_HOST}-(\d+)-\d+\.part")
_numbers = itertools.count()


def write_text(
    path: str | os.PathLike[str], text: str, *, encoding: str = "utf-8", errors: str = "strict", synced: bool = True
) -> Path:
    """Write a text file, with its folder. Returns the path; see `write_bytes`."""
    return write_bytes(path, text.encode(encoding, errors), synced=synced)


def write_json(path: str | os.PathLike[str], content: Any, **options: Any) -> Path:
    """Write JSON with a line break at its end; options are those of `json.dumps`. Returns the path."""
    return write_text(path, json.dumps(content, **options) + "\n", errors="backslashreplace")


def write_bytes(path: str | os.PathLike[str], data: Any, *, synced: bool = True) -> Path:
    """Write a file in one step, with its folder.

    Args:
        path: of the file; through a symbolic link its target is written.
        data: anything with a buffer of bytes.
        synced: wait until the disk has it; False for one of many files.

    Returns:
        The path.

    Raises:
        OSError: the file, what is the matter, and what to do; what was there before is as it was.
    """
    with whole_file(path, synced=synced) as part, part.open("wb") as file:
        file.write(data)
    return Path(path)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], *, synced: bool = True) -> Iterator[Path]:
    """Give the path of a new file beside `path` to write to, which takes its place at the end, or goes after an error.

    What is no plain file (a device, a pipe) is given itself. Arguments and errors are those of `write_bytes`; a signal
    that asks for the end is held back until the file is in its place.
    """
    path = Path(path)
    with held(), explaining(path):
        if path.is_relative_to("/dev") or (path.exists() and not path.is_file() and not path.is_dir()):
            yield path
            return
        target = _target(path)
        part = part_beside(target, clear=synced)
        try:
            yield part
            put_in_place(part, path, synced=synced)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()


@contextlib.contextmanager
def whole_files(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the same name in a new folder beside `path`; all that is written there moves to its place at the end.

    For writers that need the name, that write several files, or a folder.
    """
    path = Path(path)
    with explaining(path):
        target = _target(path)
        folder = part_beside(target)
        folder.mkdir()
        try:
            yield folder / target.name
            with held():
                _move(folder, target)
        except Exception as error:
            if not isinstance(error, OSError) and is_full(folder):  # some writers do not say it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def whole_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a new folder to fill, which becomes `folder` at the end in one step, or goes after an error.

    Where `folder` is there, empty, the new one is within it, and what is in it moves up at the end, files last: a
    mounted folder cannot be replaced.

    Raises:
        OSError: the folder is no longer empty.
    """
    folder = Path(folder)
    inside = folder.is_dir()
    with explaining(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = part_beside(folder / "any" if inside else folder.absolute())
        part.mkdir()
        try:
            yield part
            with held():
                if not inside:
                    if folder.exists():
                        raise FileExistsError(errno.EEXIST, "another program has made it meanwhile", str(folder))
                    part.rename(folder)
                    return
                for inner in sorted(part.iterdir(), key=Path.is_file):
                    inner.rename(folder / inner.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def is_empty(folder: Path) -> bool:
    """Return True for a folder with nothing in it but what killed processes have left, which is removed."""
    clear_parts(folder)
    return not any(folder.iterdir())


def is_full(folder: Path) -> bool:
    """Return True where the disk of a folder has less than 64 KiB left."""
    return shutil.disk_usage(folder).free < 1 << 16


def part_beside(path: Path, *, clear: bool = True) -> Path:
    """Return a free name in the folder of a file, which is made; with `clear`, parts that others left go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if clear:
        clear_parts(path.parent)
    return path.with_name(f".centernet-{_HOST}-{os.getpid()}-{next(_numbers)}.part")


class Growing:
    """A new file that text is added to: a piece is wholly on it, or not at all, as where the disk is full.

    Bytes of names that are no UTF-8 become ``\\udcXX``, as JSON writes them.

    Args:
        path: of the file; its folder is made if missing.
        subject: the file that it is to become, for messages; default: itself.
        keep: bytes of a file that is there which stay.
    """

    def __init__(self, path: Path, subject: Path | None = None, *, keep: int = 0) -> None:
        self.path, self.subject, self.size = path, subject or path, keep
        with explaining(self.subject):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("r+b" if keep else "w+b", buffering=0)
            self._file.truncate(keep)
            self._file.seek(keep)

    @classmethod
    def beside(cls, path: Path) -> Growing:
        """Begin what is to become a file, in its folder."""
        with explaining(path):
            return cls(part_beside(_target(path)), path)

    def add(self, text: str) -> None:
        """Add a piece."""
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        with held(), explaining(self.subject):
            try:
                while data:
                    data = data[self._file.write(data) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self.size)
                    self._file.seek(self.size)
                raise
            self.size = self._file.tell()

    def take(self, other: Growing) -> None:
        """Add all that is in another file."""
        other._file.seek(0)
        with explaining(self.subject):
            for piece in iter(lambda: other._file.read(1 << 20), b""):
                self._file.write(piece)
            self.size = self._file.tell()

    def finish(self) -> None:
        """Close it, and put it in the place of what it is to become."""
        self._file.close()
        put_in_place(self.path, self.subject)

    def close(self) -> None:
        """Close it as it is."""
        self._file.close()

    def discard(self) -> None:
        """Close and remove it, if it is still there."""
        self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def put_in_place(part: Path, path: Path, *, synced: bool = True) -> None:
    """Flush a part to the disk and rename it to what it is a part of, with the permissions of the file before."""
    with explaining(path):
        target = _target(path)
        with contextlib.suppress(FileNotFoundError):
            mode = target.stat().st_mode
            if not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, "is write-protected", str(path))
            with contextlib.suppress(OSError):
                part.chmod(mode)
        if synced:
            _sync(part)
        _replace(part, target)
        if synced:
            _sync_folder(target.parent)


def clear_parts(folder: Path) -> None:
    """Remove parts that processes of this machine have left which are no more."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            found = _PART.fullmatch(entry.name)
            if found and int(found[1]) != os.getpid() and not _runs(int(found[1])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


@contextlib.contextmanager
def explaining(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of an error of the system which file could not be written, why, and what to do."""
    try:
        yield
    except OSError as error:
        reason = next((text for name, text in REASONS.items() if error.errno == getattr(errno, name, -1)), None)
        if reason is None or getattr(error, "explained", False) or isinstance(error, ValueError):
            raise
        if error.errno == errno.EACCES and error.strerror == "is write-protected":
            reason = "it is write-protected; write to another place"
        before = "; the file of before is as it was" if os.path.isfile(path) else ""
        explained = type(error)(f"{path}: was not written: {reason}{before}")
        explained.errno, explained.explained = error.errno, True  # type: ignore[attr-defined]
        raise explained from error


def _target(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def _move(folder: Path, target: Path) -> None:
    """Move all files of a folder beside the target, which comes last; those of before come back after an error."""
    names = sorted((entry.name for entry in folder.iterdir()), key=lambda name: name == target.name)
    single = names == [target.name] and (folder / target.name).is_file() and not target.is_dir()
    if single:
        put_in_place(folder / target.name, target)
        return
    old = part_beside(target)
    old.mkdir()
    try:
        for name in reversed(names):  # the target goes first: without it the others are nothing
            _sync(folder / name)
            if os.path.lexists(target.with_name(name)):
                _replace(target.with_name(name), old / name)
        for name in names:
            _replace(folder / name, target.with_name(name))
        _sync_folder(target.parent)
    except BaseException:
        for entry in old.iterdir():
            with contextlib.suppress(OSError):
                _replace(entry, target.with_name(entry.name))
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _replace(part: Path, target: Path) -> None:
    """Rename; on Windows again and again for a while, as long as another program has the old file open."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return os.replace(part, target)
        except PermissionError:
            if os.name != "nt" or time.monotonic() > end:
                raise
            time.sleep(0.05)


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the files of a folder; also where a full disk is told (network, quota)."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder; Windows has no such thing."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _runs(pid: int) -> bool:
    """Return True where a process runs, or where nobody can say: on Windows, `os.kill` would end it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
