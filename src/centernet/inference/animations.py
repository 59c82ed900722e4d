"""Frames of animated GIF, WebP, APNG and AVIF, and pages of TIFF."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from centernet.images import LazyImage, open_image
from centernet.images.limits import ADVICE, most_pixels, open_listed, read_whole
from centernet.inference.frame import SourceError
from centernet.inference.shots import Shot

_CONTAINERS = ((0, b"\x1a\x45\xdf\xa3"), (0, b"FLV\1"), (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (8, b"AVI "))
_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
_SHORTEST, _SHOWN = 0.011, 0.1  # seconds: browsers show what states less than the one for the other
_SUBFILE = 254  # tag of TIFF: bit 0 is a smaller version of another image, bit 2 a mask
_MOST_PAGES = 1_000_000


def is_container(head: bytes) -> bool:
    """Return True for the first 16 bytes of a file that is a video, and can be no image."""
    return any(head[at:].startswith(mark) for at, mark in _CONTAINERS) and head[8:12] != b"avis"


def count_frames(path: Path) -> int:
    """Return the number of frames or pages of an image file; 1 for a still one, 0 for a file that Pillow can't open."""
    try:
        with open_listed(path) as image:
            if image.format == "TIFF":
                return len(_pages(path))
            if image.format in _FORMATS and getattr(image, "is_animated", False):
                return max(1, int(getattr(image, "n_frames", 1)) - _before(image))
            return 1
    except Exception:  # Pillow raises whatever the damaged bytes lead to
        return 0


def animation(path: Path) -> Iterator[Shot]:
    """Read the frames of an animation with their times, or the pages of a TIFF, which have none.

    Raises:
        SourceError: it is damaged behind its first frames, which come before; the message lacks the name.
    """
    pages = _pages(path)
    if pages:
        yield from _read_pages(path, pages)
        return
    time, count = 0.0, 0
    with open_listed(path) as image:
        if image.width * image.height > most_pixels():
            text = f"its frames of {image.width}×{image.height} pixels are more than {most_pixels():.0f}; {ADVICE}"
            raise SourceError(text)
        first = _before(image)
        number = int(getattr(image, "n_frames", 1)) - first
        try:
            for index in range(number):
                image.seek(first + index)
                pixels = _over_white(image)
                seconds = float(image.info.get("duration") or 0) / 1000
                seconds = seconds if seconds >= _SHORTEST else _SHOWN
                yield Shot(LazyImage.of(pixels), time, seconds)
                time, count = time + seconds, count + 1
        except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
            raise SourceError(f"the animation breaks off after {count} frames; those before it are kept") from error


def _before(image: Any) -> int:
    """Return 1 where the first image of an APNG is only for programs that know no animation."""
    return int(bool(getattr(image, "default_image", False)))


def _over_white(image: Image.Image) -> NDArray[np.uint8]:
    """Return uint8 H×W×3, RGB; what is transparent is white, as `centernet.images.read_image` has it."""
    if not image.has_transparency_data:
        return np.array(image.convert("RGB"))
    rgba = image.convert("RGBA")
    return np.array(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))


def _read_pages(path: Path, places: list[int]) -> Iterator[Shot]:
    """Read each page as a TIFF of its own: the same bytes, of which the header points to that page."""
    data = read_whole(str(path))
    order = "<" if data[:2] == b"II" else ">"
    at, form = (8, "Q") if data[2:4] in (b"+\0", b"\0+") else (4, "I")
    for place in places:
        pointer = struct.pack(order + form, place)
        yield Shot(open_image(data[:at] + pointer + data[at + len(pointer) :]))


def _pages(path: Path) -> list[int]:
    """Return where the directories of a TIFF's pages are, without smaller versions and masks; empty for other files."""
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return []
        order, is_big = "<" if head[:2] == b"II" else ">", 43 in head[2:4]
        place = struct.unpack_from(order + ("Q" if is_big else "I"), head, 8 if is_big else 4)[0]
        found, seen = [], set[int]()
        while place and place not in seen and len(seen) < _MOST_PAGES:
            seen.add(place)
            try:
                kind, following = _directory(file, place, order, is_big)
            except struct.error:  # cut off
                break
            if not kind & 5:
                found.append(place)
            place = following
    return found


def _directory(file: BinaryIO, place: int, order: str, is_big: bool) -> tuple[int, int]:
    """Return the NewSubfileType of a TIFF's directory, and the place of the next one."""
    count_form, size, next_form = ("Q", 20, "Q") if is_big else ("H", 12, "I")
    file.seek(place)
    count = struct.unpack(order + count_form, file.read(struct.calcsize(count_form)))[0]
    if count > 65535:
        raise struct.error("no directory")
    entries = file.read(count * size)
    following = struct.unpack(order + next_form, file.read(struct.calcsize(next_form)))[0]
    for at in range(0, count * size, size):
        if struct.unpack_from(order + "H", entries, at)[0] == _SUBFILE:
            return struct.unpack_from(order + "I", entries, at + (12 if is_big else 8))[0], following
    return 0, following
