"""The image files of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from .reading import ImageError

# fmt: off
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".dib", ".tif",
    ".tiff", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".ras", ".sr", ".pcx", ".ico",
    ".icns", ".dds", ".hdr", ".pic", ".sgi", ".rgb", ".qoi",
)
# fmt: on
"""Suffixes, in lower case, of the files of a folder that count as images."""


def list_images(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """List the images of a folder, sorted by name (by their path inside it when recursive).

    An image is a file with one of `IMAGE_SUFFIXES`, in upper or lower case; hidden files (".name") are left out.

    Raises:
        ImageError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    files = [p for p in (folder.rglob("*") if recursive else folder.iterdir()) if not p.name.startswith(".")]
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if not images:
        others = sorted({p.suffix.lower() or "none" for p in files if p.is_file()})
        found = f"only files with the suffixes {', '.join(others)}" if others else "no files"
        hint = "" if recursive or not any(p.is_dir() for p in files) else "; its subfolders were not searched"
        raise ImageError(f"{folder}: no images here, {found}{hint}. Expected e.g. .jpg, .png, .webp, .tif or .bmp")
    return sorted(images, key=lambda p: p.relative_to(folder).as_posix())
