"""The ways in which published CenterNets bring an image to their input, to the pixel: their figures were measured so.

Their maps are between pixel indices, and boxes follow them as they are: an index counts as a coordinate there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]


def affine_matrix(
    center: tuple[float, float], side: float, size_hw: Size, *, degrees: float = 0.0
) -> NDArray[np.float64]:
    """Return the 2×3 map of the original CenterNet: a window around a point fills an output.

    Args:
        center: (x, y) of the window, which comes to the output's centre.
        side: width of the window, in pixels of the image; it becomes the output's width, and height scales alike.
        size_hw: (height, width) of the output.
        degrees: by which the window is turned.
    """
    height, width = size_hw
    scale, angle = width / side, math.radians(degrees)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cosine, sine], [-sine, cosine]])
    shift = np.array([width / 2, height / 2]) - linear @ np.array(center, dtype=np.float64)
    return np.column_stack([linear, shift])


def resized_size(image_hw: Size, scale: float) -> Size:
    """Return the (height, width) that an image is brought to before its warp, for a test at a scale."""
    return int(image_hw[0] * scale), int(image_hw[1] * scale)


def kept_size(image_hw: Size, divisor: int) -> Size:
    """Return the (height, width) of the original's `keep_res`: the next multiple of a number, above the size itself."""
    height, width = image_hw
    return (height // divisor + 1) * divisor, (width // divisor + 1) * divisor


def fixed_matrix(resized_hw: Size, image_hw: Size, size_hw: Size) -> NDArray[np.float64]:
    """Return the map of the original's `fix_res` from an image, resized for a test at a scale, to the input."""
    height, width = resized_hw
    return affine_matrix((width / 2, height / 2), max(image_hw), size_hw)


def kept_matrix(resized_hw: Size, size_hw: Size) -> NDArray[np.float64]:
    """Return the map of the original's `keep_res`: whole pixels."""
    height, width = resized_hw
    return affine_matrix((width // 2, height // 2), size_hw[1], size_hw)


def warped(
    image: NDArray[np.uint8], resized_hw: Size, matrix: NDArray[np.float64], size_hw: Size, border: int
) -> NDArray[np.uint8]:
    """Resize an image, and map it between pixel indices, as OpenCV does both."""
    if image.shape[:2] != resized_hw:
        image = cv2.resize(image, resized_hw[::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    result = cv2.warpAffine(
        image, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(border,) * 3
    )
    return result.astype(np.uint8, copy=False)


def tensorflow_size(image_hw: Size, size_hw: Size) -> Size:
    """Return the (height, width) to which TensorFlow's `keep_aspect_ratio_resizer` brings an image."""
    height, width = image_hw
    scale = np.float32(min(np.float32(size_hw[0]) / np.float32(height), np.float32(size_hw[1]) / np.float32(width)))
    new = [int(np.rint(scale * np.float32(side))) for side in (height, width)]
    return min(size_hw[0], max(1, new[0])), min(size_hw[1], max(1, new[1]))


def tensorflow_resized(image: NDArray[np.uint8], new_hw: Size) -> NDArray[np.uint8]:
    """Resize as TensorFlow 1 does: bilinear from the top left corner, without averaging; rounded to whole levels."""
    lines = _tensorflow_axis(image.astype(np.float32), new_hw[0], 0)
    return np.rint(_tensorflow_axis(lines, new_hw[1], 1)).astype(np.uint8)


def _tensorflow_axis(values: NDArray[np.float32], length: int, axis: int) -> NDArray[np.float32]:
    given = values.shape[axis]
    place = np.arange(length, dtype=np.float32) * (np.float32(given) / np.float32(length))
    first = np.minimum(np.floor(place).astype(np.int64), given - 1)
    share = (place - first.astype(np.float32)).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    low, high = values.take(first, axis), values.take(np.minimum(first + 1, given - 1), axis)
    mixed: NDArray[np.float32] = (low + (high - low) * share).astype(np.float32)
    return mixed
