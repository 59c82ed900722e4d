"""Limits of image files: the formats that are decoded at all, and no more pixels than one limit for all decoders."""

from __future__ import annotations

import io
import math
import os
import struct
import sys
from contextlib import suppress
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

from centernet.files import read_file

FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "PPM", "DIB"),  # these are always registered
    *("MPO", "WEBP", "TIFF", "AVIF", "HEIF", "JPEG2000", "TGA", "SUN", "PCX", "ICO", "ICNS", "DDS", "SGI", "QOI"),
)
"""Pillow's names of the formats that it may open: none that starts another program, as PostScript does."""

_FIRST = FORMATS[:6]

VARIABLE = "CENTERNET_MAX_PIXELS"
"""Variable of the environment with the limit, which processes hand on to those that they start."""

TILED = 500_000_000
"""Pixels of an image that is looked at in tiles."""

FLOATS = 4
"""So many times less pixels may have files of floats, which take as much more memory while they are decoded."""

ADVICE = "if the file is meant, raise the limit: --max-pixels (PIL.Image.MAX_IMAGE_PIXELS in Python)"


def most_pixels() -> float:
    """Return the most pixels that an image or a frame of a video may have: the limit of the environment, else
    ``2 * PIL.Image.MAX_IMAGE_PIXELS``, where Pillow itself refuses an image."""
    with suppress(ValueError):
        return float(os.environ.get(VARIABLE, ""))
    return 2 * (Image.MAX_IMAGE_PIXELS or math.inf)


def most_tiled() -> float:
    """Return the most pixels of an image that is looked at in tiles: `TILED`, unless the limit is higher."""
    return max(TILED, most_pixels())


def read_whole(path: str) -> bytes:
    """Return the content of an image file; an OSError where it has more bytes than all pixels could take."""
    most = most_pixels()
    return read_file(path, most=sys.maxsize if math.isinf(most) else int(8 * most) + (1 << 26))


def open_listed(file: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    """Open an image by Pillow, of any size, where it is of one of `FORMATS`. Errors are Pillow's."""
    stream = None if isinstance(file, (str, os.PathLike)) else file
    for formats in (_FIRST, None):
        if formats is None:
            Image.init()
        known = [name for name in formats or FORMATS if name in Image.OPEN]
        try:
            return Image.open(file, formats=known)
        except Image.DecompressionBombError:  # the limit is asked for before it is decoded
            return _of_any_size(file, known)
        except UnidentifiedImageError:
            if formats is None:
                raise
            if stream is not None:
                stream.seek(0)
    raise AssertionError("unreachable")


def load(image: Image.Image) -> None:
    """Decode an image of any size, as Pillow's own `load`: the limit has been asked for before."""
    size, core = getattr(image, "_tile_size", None), Image.core  # type: ignore[attr-defined]
    if image.format == "TIFF" and size is not None:  # whose reader asks for Pillow's limit where it makes this
        image.im = core.new(image.mode, size)
    image.load()


def _of_any_size(file: Any, known: list[str]) -> Image.Image:
    by_path = isinstance(file, (str, os.PathLike))
    with open(file, "rb") if by_path else io.BytesIO(b"") as opened:
        stream = opened if by_path else file
        stream.seek(0)
        start = stream.read(16)
        stream.seek(0)
    for name in known:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(start) is True:
            with suppress(SyntaxError, IndexError, TypeError, struct.error):  # it is of another format
                return factory(os.fspath(file) if by_path else file, "")  # a path is opened
    raise UnidentifiedImageError(f"cannot identify image file {file!r}")
