"""One image of a source, and the error of a source that cannot be used."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from centernet.images import LazyImage


class SourceError(ValueError):
    """A source of images that cannot be used, or breaks off; the message names it and what to do."""


class Frame:
    """One image of a source.

    Args:
        image: uint8 H×W×3, RGB, upright; or a `LazyImage` that is decoded when somebody asks for `image`.
        name: the path inside a folder, the path as it was given in a list or found by a pattern, the name of a single
            file; ``clip_000012`` for frame 12 of ``clip.mp4``, ``image_000012`` for an array, ``camera_0_000012`` for
            a camera.
        path: the file that it was read from (a video's frames share one), or None for an array, a camera and a stream.
        index: its place in the source, from 0; unreadable images that were left out count, and those of a camera or a
            stream that were skipped to stay live.
        time: seconds from the beginning of the video, or since a camera or a stream was opened; None for an image.
        duration: seconds for which it is shown, where the file states them.
        is_part: it is one of several in the file.

    `is_done` says that a run which goes on has written it before: its files are there, and its pixels are not needed.
    """

    is_done = False

    def __init__(
        self,
        image: NDArray[np.uint8] | LazyImage,
        name: str,
        path: Path | None,
        index: int,
        time: float | None = None,
        *,
        duration: float | None = None,
        is_part: bool = False,
    ) -> None:
        self.lazy = image if isinstance(image, LazyImage) else LazyImage.of(image)
        self.name, self.path, self.index, self.time, self.duration = name, path, index, time, duration
        self.is_file = path is not None and not is_part  # False also for an array, or a frame of a video or camera

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the image, without decoding it."""
        return self.lazy.size_hw

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """uint8 H×W×3, RGB, upright, in its own size; an ImageError where a file is damaged behind its header."""
        return self.lazy.read()[0]

    @property
    def location(self) -> str:
        """The path of its file where it has one of its own, else its name."""
        return str(self.path) if self.is_file else self.name
