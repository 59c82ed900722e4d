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
"""Rows that are converted at once."""


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
    problem = f"take {need:.1f} GB to {'draw on' if drawn else 'decode'}, {text}"
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
            size_hw: (height, width) to which they are averaged where the file is read by windows; the order is free.
        """
        x1, y1, x2, y2 = area
        if self._whole is not None:
            return self._whole[y1:y2, x1:x2]
        try:
            if size_hw is not None and size_hw != (y2 - y1, x2 - x1):
                return self._rgb(area, size_hw)
            if not self._top <= y1 <= y2 <= self._top + len(self._strip):
                self._move(y1, y2)
        except self._errors as error:
            raise ImageError(f"{self._name}: cannot be read ({error}); copy or download it again") from error
        return self._strip[y1 - self._top : y2 - self._top, x1 - self._left : x2 - self._left]

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

    def _move(self, top: int, bottom: int) -> None:
        """Read on to the rows from `top` to `bottom`."""
        rows, columns = bottom - top, self._right - self._left
        if 6 * rows * columns > self._limit * 1e9:
            text = f"{columns}×{rows} pixels at once take {6e-9 * rows * columns:.1f} GB, more than the {self._limit:g}"
            raise ImageError(f"{self._name}: {text} GB it may take; take smaller tiles, or allow it (--max-memory)")
        strip = np.empty((rows, columns, 3), np.uint8)
        kept = self._strip[max(0, top - self._top) :] if top >= self._top else self._strip[:0]
        strip[: len(kept)] = kept
        for y in range(top + len(kept), bottom, ROWS):
            end = min(bottom, y + ROWS)
            strip[y - top : end - top] = self._rgb((self._left, y, self._right, end), (end - y, columns))
        self._top, self._strip = top, strip

    def _rgb(self, area: Area, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        x1, y1, x2, y2 = area
        bands = self._file.read(
            window=Window(x1, y1, x2 - x1, y2 - y1),
            out_shape=(self._file.count, *size_hw),
            resampling=Resampling.average,
        )
        pixels: NDArray[np.uint8] = np.ascontiguousarray(bands.transpose(1, 2, 0))
        if pixels.shape[2] == 4:
            return np.asarray(to_rgb(Image.fromarray(pixels), "", opaque=False))
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
