"""The plan of a run: which images make up which shard. It is listed once, and a run that goes on reads it again.

A shard is up to so many image files, one tar, or some row groups of a Parquet file, and gives one file of results.
Listing holds the names of one folder at a time.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from textwrap import shorten
from typing import Any

from centernet.annotations.problems import DataError
from centernet.extras import require
from centernet.images import IMAGE_SUFFIXES, walk_files
from centernet.inference.moving import VIDEO_SUFFIXES
from centernet.inference.sources import SourceError
from centernet.remote import file_system, is_remote, open_there, without_password
from centernet.whole import Growing

NAME = "_manifest.jsonl"
"""Name of the file of the plan, in the folder of the results: readers of a folder of Parquet pass over such names."""

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
PARQUET = (".parquet", ".pq")
_DEPTH = 32  # of folders in one another


@dataclass(frozen=True)
class Shard:
    """A part of the images.

    Attributes:
        number: from 0.
        source: place of its source in the list of them.
        kind: `files`, `tar` or `parquet`.
        paths: of images, or of the tar or Parquet file alone; as the source's file system names them.
        row_groups: of the Parquet file; empty for all.
    """

    number: int
    source: int
    kind: str
    paths: tuple[str, ...]
    row_groups: tuple[int, ...] = ()


def list_shards(sources: Sequence[str], *, recursive: bool, size: int) -> Iterator[Shard]:
    """Iterate over the shards of all sources.

    Args:
        sources: folders, quoted patterns, and files (images, tars, Parquet), as paths or addresses.
        recursive: the subfolders of folders too.
        size: images of a shard of image files; row groups are put together up to it. A tar is one shard.

    Raises:
        SourceError: there is nothing, or nothing that is read.
    """
    number = 0
    for place, source in enumerate(sources):
        for kind, paths, row_groups in _parts(source, recursive, size):
            yield Shard(number, place, kind, tuple(paths), tuple(row_groups))
            number += 1


def write_plan(path: Path, about: Mapping[str, Any], shards: Iterator[Shard]) -> None:
    """Write what a run is about and its shards, a line each; the file is whole or not there."""
    file = Growing.beside(path)
    try:
        file.add(json.dumps(about) + "\n")
        for shard in shards:
            file.add(json.dumps(asdict(shard)) + "\n")
        file.finish()
    finally:
        file.discard()


def check_plan(path: Path, about: Mapping[str, Any]) -> None:
    """Raise a DataError where a plan is of another run, with what differs."""
    with path.open(encoding="utf-8") as file:
        try:
            there = dict(json.loads(file.readline()))
        except ValueError as error:
            raise DataError(f"{path}: is no plan of a run ({error}); give another --output") from error
    here = json.loads(json.dumps(about))
    if differing := [name for name in {**there, **here} if there.get(name) != here.get(name)]:
        texts = ", ".join(f"{name} was {_short(there.get(name))}, is {_short(here.get(name))}" for name in differing)
        text = "give the command of that run, or another --output"
        raise DataError(f"--resume: {path.parent} has the results of another run ({texts}); {text}")


def read_plan(path: Path) -> Iterator[Shard]:
    """Iterate over the shards of a plan."""
    with path.open(encoding="utf-8") as file:
        for line in islice(file, 1, None):
            row = json.loads(line)
            yield Shard(**row | {name: tuple(row[name]) for name in ("paths", "row_groups")})


def _short(value: Any) -> str:
    return shorten(str(value), 80, placeholder=" …")


def _parts(source: str, recursive: bool, size: int) -> Iterator[tuple[str, list[str], list[int]]]:
    """Iterate over kind, paths and row groups of the shards of a source."""
    files: list[str] = []
    for path in _found(source, recursive):
        kind = _kind(path)
        if kind == "files":
            files.append(path)
            if len(files) == size:
                yield kind, files, []
                files = []
        elif kind == "tar":
            yield kind, [path], []
        else:
            yield from ((kind, [path], groups) for groups in _row_groups(source, path, size))
    if files:
        yield "files", files, []


def _found(source: str, recursive: bool) -> Iterator[str]:
    """Iterate over the files of a source; there is at least one."""
    shown = without_password(source) if is_remote(source) else source
    try:
        found = _at_address(source, recursive) if is_remote(source) else _here(Path(source), recursive)
        first = next(found, None)
        if first is None:
            raise SourceError(f"{shown}: no images, tars or Parquet files here; check the path, or give --recursive")
        yield from chain([first], found)
    except (SourceError, ImportError):
        raise
    except Exception as error:  # each file system has its own
        raise SourceError(f"{shown}: cannot be listed ({type(error).__name__}: {error})") from error


def _here(path: Path, recursive: bool) -> Iterator[str]:
    if path.is_dir():
        files = walk_files(path, depth=_DEPTH if recursive else 0)
        yield from (str(file) for file in files if _is_read(file.name))
    elif path.exists():
        yield _alone(str(path))
    elif glob.has_magic(str(path)):
        yield from (name for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file())
    else:
        raise SourceError(f"{path}: no such file or folder; check the path")


def _at_address(source: str, recursive: bool) -> Iterator[str]:
    system, path = file_system(source)
    if glob.has_magic(path):
        yield from sorted(name for name in system.glob(path) if system.isfile(name))
    elif system.isdir(path):
        yield from _walk(system, path, _DEPTH if recursive else 0)
    elif system.exists(path):
        yield _alone(path)
    else:
        raise SourceError(f"{without_password(source)}: no such file or folder; check the address")


def _walk(system: Any, folder: str, depth: int) -> Iterator[str]:
    """Iterate over the files of a folder of a file system, then over those of its subfolders, each sorted."""
    listed = sorted((entry["name"].rstrip("/"), entry["type"]) for entry in system.ls(folder, detail=True))
    system.invalidate_cache(folder)  # it would keep the names of all folders
    own = folder.rstrip("/")  # some file systems list it, too
    shown = [(path, kind) for path, kind in listed if path != own and not path.rpartition("/")[2].startswith(".")]
    yield from (path for path, kind in shown if kind == "file" and _is_read(path))
    if depth:
        for path, kind in shown:
            if kind == "directory":
                yield from _walk(system, path, depth - 1)


def _alone(path: str) -> str:
    """Return the path of a single file, which may have any suffix but those of videos."""
    if path.lower().endswith(VIDEO_SUFFIXES):
        raise SourceError(f"{path}: a video; --engine ray looks at images. Without it videos are read, too")
    return path


def _is_read(path: str) -> bool:
    return path.lower().endswith((*IMAGE_SUFFIXES, *TARS, *PARQUET))


def _kind(path: str) -> str:
    name = path.lower()
    return "tar" if name.endswith(TARS) else "parquet" if name.endswith(PARQUET) else "files"


def _row_groups(source: str, path: str, size: int) -> Iterator[list[int]]:
    """Iterate over the row groups of a Parquet file, so many together as have no more than `size` rows."""
    parquet = require("pyarrow.parquet", "reading Parquet files")
    system = file_system(source)[0] if is_remote(source) else None
    groups: list[int] = []
    rows = 0
    try:
        with open_there(system, path) as file:
            metadata = parquet.ParquetFile(file).metadata
            counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    except (OSError, ValueError):  # pyarrow's errors are among them: the worker says so in a row
        yield []
        return
    for group, count in enumerate(counts):
        if groups and rows + count > size:
            yield groups
            groups, rows = [], 0
        groups.append(group)
        rows += count
    if groups:
        yield groups
