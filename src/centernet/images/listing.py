"""The files of a folder, and the images among them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from .reading import ImageError

# fmt: off
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".dib", ".tif",
    ".tiff", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".ras", ".sr", ".pcx", ".ico",
    ".icns", ".dds", ".hdr", ".pic", ".sgi", ".rgb", ".qoi", ".heic", ".heif", ".hif",
)
# fmt: on
"""Suffixes, in lower case, of the files of a folder that count as images."""


def list_images(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """List the images of a folder in `natural_order` of their names (of their paths inside it when recursive).

    An image is a file with one of `IMAGE_SUFFIXES`, in upper or lower case; hidden files (".name") are left out. Links
    to folders are followed.

    Raises:
        ImageError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    files = list(walk_files(folder, depth=_DEPTH if recursive else 0))
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        others = sorted({p.suffix.lower() or "none" for p in files})
        found = f"only files with the suffixes {', '.join(others)}" if others else "no files"
        inner = any(p.is_dir() for p in folder.iterdir() if not p.name.startswith("."))
        hint = "; its subfolders were not searched" if inner and not recursive else ""
        raise ImageError(f"{folder}: no images here, {found}{hint}. Expected e.g. .jpg, .png, .webp, .tif or .bmp")
    return sorted(images, key=lambda p: natural_order(p.relative_to(folder).as_posix()))


def natural_order(path: str | os.PathLike[str]) -> list[tuple[list[str | int], str]]:
    """Return the key by which paths sort as people count: ``2.jpg`` before ``10.jpg``.

    Paths compare folder by folder. Digits in a name compare as numbers, the rest as text, and names that are then equal
    (``01`` and ``1``) as plain text.
    """
    parts = os.fspath(path).replace(os.sep, "/").split("/")
    return [([int(s) if i % 2 else s for i, s in enumerate(re.split("([0-9]+)", part))], part) for part in parts]


_DEPTH = 32  # of folders in one another, beyond which nobody keeps data


def walk_files(folder: Path, *, depth: int = _DEPTH) -> Iterator[Path]:
    """Yield the files of a folder and of its subfolders, in the order of `walk_folders`."""
    for current, files, _ in walk_folders(folder, depth=depth):
        yield from (current / name for name in files)


def walk_images(folder: Path, *, depth: int = _DEPTH) -> Iterator[Path]:
    """Yield the images among the files of `walk_files`: those with one of `IMAGE_SUFFIXES`, in upper or lower case."""
    return (path for path in walk_files(folder, depth=depth) if path.suffix.lower() in IMAGE_SUFFIXES)


def walk_folders(folder: Path, *, depth: int = _DEPTH) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield a folder and its subfolders, each with the names of its files and of its own subfolders, sorted.

    Hidden files and folders (".name") are left out. Links to folders are followed; a folder that is reached a second
    time, as by a link to one around it, is passed over. So is one that cannot be opened.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [(folder, 0)]
    while waiting:
        current, level = waiting.pop()
        try:
            status = os.stat(current)
            if (key := (status.st_dev, status.st_ino)) in seen:
                continue
            seen.add(key)
            with os.scandir(current) as entries:
                listed = sorted((entry.name, entry.is_dir(), entry.is_file()) for entry in entries)
        except OSError:
            continue
        shown = [entry for entry in listed if not entry[0].startswith(".")]
        folders = [name for name, is_folder, _ in shown if is_folder]
        yield current, [name for name, _, is_file in shown if is_file], folders
        if level < depth:
            waiting += [(current / name, level + 1) for name in reversed(folders)]
