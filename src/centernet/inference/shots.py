"""Images of a video as a decoder gives them, and the times at which they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centernet.images import LazyImage

INSTALL = "pip install 'centernet[video]'"

_SEAM = 1.0  # seconds: times that go back further are those of a stream that was joined to another, or began anew
_LEAST = 1e-3  # seconds between images


class Shot(NamedTuple):
    """One image of a video."""

    image: LazyImage
    time: float | None = None  # seconds from the beginning of the file
    duration: float | None = None  # seconds, where the file states them


class Video(NamedTuple):
    """A video that is open. Going through its shots to the end, or closing them, closes it."""

    shots: Iterator[Shot]  # ends with a SourceError, without the name, where decoding fails
    is_live: bool = False  # images come in their own time, without an end that is known


class Clock:
    """Turns the times that a file states into seconds from its beginning that always rise.

    Args:
        origin: the time of the file's beginning.
        step: seconds between images where nothing is stated.
    """

    def __init__(self, origin: float, step: float) -> None:
        self._shift, self._step, self._last = -origin, step, -step

    def __call__(self, stated: float | None) -> float:
        """Return the time of the next image."""
        time = self._last + self._step if stated is None else stated + self._shift
        if time <= self._last:
            if self._last - time > _SEAM:
                self._shift += self._last + self._step - time
                time = self._last + self._step
            else:
                time = self._last + _LEAST
        self._last = time
        return time


def turned(pixels: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turn and mirror an image H×W×3 as the display matrix of a video says, by quarters of a circle."""
    (a, b), (c, d) = matrix[:2, :2].tolist()  # x' = a·x + c·y, y' = b·x + d·y
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
