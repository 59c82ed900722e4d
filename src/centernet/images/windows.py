"""Parts of image files that are too large to be decoded as a whole: TIFF, JPEG and PNG, by rasterio where it is there.

A file is read once from its top to its bottom, and once more for the look at the whole. Without rasterio, and for
files of other kinds, the whole is decoded where that takes no more memory than it may.
"""

from __future__ import annotations

import math
import os
import warnings
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from PIL import Image

from .opened import ImageError, to_rgb
from .reading import LazyImage, Limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

Area: TypeAlias = "tuple[int, int, int, int]"  # x1 y1 x2 y2 in whole pixels

DRIVERS = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "TIFF": "GTiff"}
"""Pillow's name of a format → GDAL's, without those that read other files or addresses."""

LARGE = 1 << 25
"""Pixels from which on an image is read by windows."""

DECODED, DRAWN = 7, 16
"""Bytes that a pixel takes while an image is decoded, and while it is drawn on and encoded, at most."""

CACHE = 64
"""Megabytes that rasterio may keep of what it has decoded."""

ROWS = 256
"""Rows that are read at once."""


def limited(image: LazyImage, gigabytes: float, *, drawn: bool = False) -> LazyImage:
    """Return an image that refuses to be decoded as a whole where that takes more memory."""
    height, width = image.size_hw
    if image.limit is None:
        return image
    pixel = DRAWN if drawn else DECODED
    need = height * width * pixel / 1e9
    ways = [f"allow it, --max-memory {math.ceil(need)} (max_memory of Detector)"]
    if drawn:
        ways.insert(0, "leave out what is drawn and cut out: --format json or csv")
    elif image.windowed and find_spec("rasterio") is None:
        ways.append("read it by windows: pip install 'centernet[large]'")
    text = f"more than the {gigabytes:g} GB it may take; {', or '.join(ways)}"
    problem = f"take {need:.3g} GB to {'draw on' if drawn else 'decode'}, {text}"
    return replace(image, limit=Limit(gigabytes * 1e9 / pixel, problem))


def look_in_tiles(image: LazyImage) -> LazyImage:
    """Return an image that, where it is too large to be decoded, says how the detector takes it."""
    if image.limit is None:
        return image
    text = "look at it in tiles, --tile (tile=True of Detector), or at a part, --region"
    return replace(image, limit=image.limit._replace(problem=f"are more than {image.limit.pixels:.0f}; {text}"))


class Windows:
    """Reads parts of an image, in the order of their upper edges.

    Args:
        image: as `open_image` gives it.
        columns: x1 and x2 of what is read.
        gigabytes: of memory that it may take.

    Raises:
        ImageError: it would take more, or cannot be read.
    """

    def __init__(self, image: LazyImage, columns: tuple[int, int], gigabytes: float) -> None:
        self._closing = ExitStack()
        self._left, self._right = columns
        self._top, self._strip = 0, np.zeros((0, columns[1] - columns[0], 3), np.uint8)
        self._limit = gigabytes
        self._name, self._driver = image.name, DRIVERS.get(image.windowed or "")
        self._file: Any = self._open() if self._driver and find_spec("rasterio") is not None else None
        self._whole = image.read()[0] if self._file is None else None

    def read(self, area: Area, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the pixels of an area: uint8 h×w×3, RGB, not to be written to.

        Args:
            area: its upper edge is not above that of the area before.
            size_hw: (height, width) to which they are averaged where the file is read by windows.
        """
        x1, y1, x2, y2 = area
        if self._whole is not None:
            return self._whole[y1:y2, x1:x2]
        try:
            if size_hw is not None and size_hw != (y2 - y1, x2 - x1):
                return self._averaged(area, size_hw)
            return self._rows(y1, y2)[:, x1 - self._left : x2 - self._left]
        except self._errors as error:
            raise ImageError(f"{self._name}: cannot be read ({error}); copy or download it again") from error

    def close(self) -> None:
        """Close the file, and forget what was read of it."""
        self._closing.close()
        self._whole, self._strip = None, self._strip[:0]

    def _open(self) -> Any:
        """Return the opened file; None where one block of it is too large a part."""
        import rasterio

        self._errors = (rasterio.errors.RasterioError, rasterio.errors.RasterioIOError)
        self._closing.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                file = rasterio.open(os.path.abspath(self._name), driver=self._driver)
        except self._errors:
            return None
        self._closing.enter_context(file)
        block = math.prod(file.block_shapes[0]) * file.count
        return file if block <= max(CACHE * 1e6, self._limit * 1e9 / 4) else None

    def _rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return the rows from `top` to `bottom`; of those before, what they share is not read again."""
        if self._top <= top and bottom <= self._top + len(self._strip):
            return self._strip[top - self._top : bottom - self._top]
        rows, columns = bottom - top, self._right - self._left
        if 6 * rows * columns > self._limit * 1e9:
            text = f"{columns}×{rows} pixels at once take {6e-9 * rows * columns:.3g} GB, more than the {self._limit:g}"
            raise ImageError(f"{self._name}: {text} GB it may take; take smaller tiles, or allow it (--max-memory)")
        strip = np.empty((rows, columns, 3), np.uint8)
        kept = self._strip[top - self._top :] if top >= self._top else self._strip[:0]
        strip[: len(kept)] = kept
        for y in range(top + len(kept), bottom, ROWS):
            end = min(bottom, y + ROWS)
            bands = self._file.read(window=((y, end), (self._left, self._right)))
            pixels = np.ascontiguousarray(bands.transpose(1, 2, 0))
            if len(bands) == 4:
                pixels = np.asarray(to_rgb(Image.fromarray(pixels), self._name, opaque=False))
            strip[y - top : end - top] = pixels
        self._top, self._strip = top, strip
        return strip

    def _averaged(self, area: Area, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
        """Return an area averaged to a size that is no larger, as `shrink` does, from a few rows at a time."""
        x1, y1, x2, y2 = area
        height, width = size_hw
        scale = (y2 - y1) / height
        result = np.empty((height, width, 3), np.uint8)
        step = max(1, int(ROWS / scale))
        for top in range(0, height, step):
            edges = np.arange(top, min(height, top + step) + 1) * scale
            first, last = int(edges[0]), min(y2 - y1, math.ceil(edges[-1]))
            rows = self._rows(y1 + first, y1 + last)[:, x1 - self._left : x2 - self._left]
            narrow = cv2.resize(rows, (width, len(rows)), interpolation=cv2.INTER_AREA).astype(np.float32)
            lines = np.arange(first, last)
            shares = np.minimum(edges[1:, None], lines + 1) - np.maximum(
                edges[:-1, None], lines
            )  # of lines in each row
            result[top : top + step] = np.round(np.tensordot(shares.clip(0) / scale, narrow, 1))
        return result
