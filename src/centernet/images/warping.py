"""The affine warp of an image, and its fast special case for upright windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN = 2  # pixels of the source beyond a window, so that rounding leaves no gap at its edges


def warp(
    image: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    size_hw: tuple[int, int],
    border_value: int | tuple[int, int, int] = 114,
) -> NDArray[np.uint8]:
    """Map an image by an affine matrix: one bilinear `cv2.warpAffine`.

    Where the matrix shrinks to less than half, the image is first reduced by its area, so that nothing aliases.

    Args:
        image: uint8 H×W×3 (or H×W).
        matrix: 2×3, from the continuous coordinates of `image` to those of the result. It maps boxes as it is
            (`boxes.transform`); the half pixel between coordinates and OpenCV's indices is added here.
        size_hw: (height, width) of the result.
        border_value: the colour where `image` covers nothing.

    Returns:
        uint8, `size_hw` (×3).
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    height, width = image.shape[:2]
    image = shrink(image, float(np.hypot(*matrix[:, 1])), float(np.hypot(*matrix[:, 0])))
    linear = matrix[:, :2] * [width / image.shape[1], height / image.shape[0]]
    shift = matrix[:, 2] + linear @ [0.5, 0.5] - 0.5
    border = (border_value,) * 3 if isinstance(border_value, int) else border_value
    warped = cv2.warpAffine(
        image,
        np.column_stack([linear, shift]),
        (size_hw[1], size_hw[0]),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )
    return warped.astype(np.uint8, copy=False)


@dataclass(frozen=True, eq=False)
class Window:
    """The part of a warped image that the source covers, for an upright matrix."""

    pixels: NDArray[np.uint8]  # h×w×3, not to be written to
    rows: slice  # of the result
    columns: slice
    matrix: NDArray[np.float64]  # 2×3, the map by which it really was made


def is_upright(matrix: NDArray[np.float64]) -> bool:
    """Return True if a matrix only scales, mirrors, shifts and turns by quarters."""
    plain = max(abs(float(matrix[0, 0])), abs(float(matrix[1, 1])))
    crossed = max(abs(float(matrix[0, 1])), abs(float(matrix[1, 0])))
    return crossed < 1e-9 * plain or plain < 1e-9 * crossed


def window(image: NDArray[np.uint8], matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> Window | None:
    """Warp by an upright matrix with one `cv2.resize`: about three times as fast as `warp`.

    A resize maps whole pixels to whole pixels, so the matrix is changed to fit: the edges of the image, or of the
    part that is seen, move by less than a pixel of the result. The matrix of the answer is exact. Returns the part of
    the result that the image covers; None where it covers nothing.
    """
    turned = abs(matrix[0, 0]) < abs(matrix[0, 1])
    height, width = image.shape[:2]
    if turned:  # seen from the other side of the diagonal, it is not
        height, width = width, height
        matrix = matrix[:, [1, 0, 2]]
    across = _fit(float(matrix[0, 0]), float(matrix[0, 2]), width, size_hw[1])
    down = _fit(float(matrix[1, 1]), float(matrix[1, 2]), height, size_hw[0])
    if across is None or down is None:
        return None
    part = image[across.part, down.part].transpose(1, 0, 2) if turned else image[down.part, across.part]
    pixels = shrink(part, abs(down.scale), abs(across.scale))
    if pixels.shape[:2] != (down.length, across.length):
        # Of a transposed view OpenCV makes a copy.
        resized = cv2.resize(pixels, (across.length, down.length), interpolation=cv2.INTER_LINEAR)
        pixels = resized.astype(np.uint8, copy=False)
    if across.scale < 0 or down.scale < 0:
        code = (0 if across.scale > 0 else -1) if down.scale < 0 else 1
        into = None if pixels is part else pixels
        pixels = cv2.flip(pixels, code, dst=into).astype(np.uint8, copy=False)
    exact = np.array([[across.scale, 0, across.shift], [0, down.scale, down.shift]])
    return Window(
        pixels[down.seen, across.seen],
        slice(down.start + down.seen.start, down.start + down.seen.stop),
        slice(across.start + across.seen.start, across.start + across.seen.stop),
        exact[:, [1, 0, 2]] if turned else exact,
    )


def shrink(image: NDArray[np.uint8], scale_y: float, scale_x: float) -> NDArray[np.uint8]:
    """Average over areas by whole factors along each axis, leaving a scale between 1/2 and 1 to be interpolated."""
    height, width = shrunk_size((image.shape[0], image.shape[1]), scale_y, scale_x)
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def shrunk_size(size_hw: tuple[int, int], scale_y: float, scale_x: float) -> tuple[int, int]:
    """Return the (height, width) that `shrink` brings an image to."""
    # A size that isn't a multiple of the factor is reduced by slightly more, so that no edge is lost.
    height, width = (
        max(1, side // max(1, math.floor(1 / max(scale, 1e-6))))
        for side, scale in zip(size_hw, (scale_y, scale_x), strict=True)
    )
    return height, width


@dataclass(frozen=True)
class _Axis:
    """One axis of a window, with the exact map ``x' = scale * x + shift``; the scale is below 0 where it mirrors."""

    part: slice  # of the source, that is resized
    length: int  # of the resized part, in pixels of the result
    start: int  # place of its first pixel, mirrored or plain, in the result; may be below 0
    seen: slice  # of the resized pixels, in the result
    scale: float
    shift: float


def _fit(scale: float, shift: float, source: int, target: int) -> _Axis | None:
    """Round the map ``x' = scale * x + shift`` of `source` pixels into `target` ones to whole pixels."""
    mirrored = scale < 0
    if mirrored:  # as a plain map of the mirrored source
        scale, shift = -scale, shift + scale * source
    first = max(0, math.floor(-shift / scale) - _MARGIN)
    last = min(source, math.ceil((target - shift) / scale) + _MARGIN)
    if first >= last:
        return None
    length = max(1, round((last - first) * scale))
    start = round(scale * first + shift)
    seen = slice(max(0, -start), min(length, target - start))
    if seen.start >= seen.stop:
        return None
    scale = length / (last - first)
    shift = start - scale * first
    if mirrored:
        part = slice(source - last, source - first)
        return _Axis(part, length, start, seen, -scale, shift + scale * source)
    return _Axis(slice(first, last), length, start, seen, scale, shift)
