"""Detections that a file holds, MOTChallenge's det.txt, in the place of a `Detector`: tracking without a network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from centernet.annotations.mot import read_mot_detections
from centernet.annotations.problems import DataError
from centernet.detections import Column, Detections
from centernet.inference.sources import ErrorHandler, Frame, SourceLike, frames, open_source, read_sequence_info

MOST_FRAMES = 10_000_000  # a number beyond is no frame's: four days at 30 frames a second


class StoredDetections:
    """The detections of a sequence, by frame.

    A seqinfo.ini (beside the frames, the file or the file's folder) or a video states `frame_rate`, frames per second,
    and `length`, the number of frames; they are None where nothing does. Of a tracker that suits them nothing is known.

    Args:
        path: of the file. One that cannot be opened, or has numbers that no frame has, is a DataError.
        source: of the frames, what `centernet.inference.open_source` takes; None where they are not at hand.
        class_name: of all boxes; None for pedestrian.
    """

    def __init__(
        self, path: str | os.PathLike[str], source: SourceLike | None = None, *, class_name: str | None = None
    ) -> None:
        self.path = Path(path)
        self.name, self.tracker, self.columns = str(path), dict[str, Any](), tuple[Column, ...]()
        self._by_frame = read_mot_detections(path, class_names=[class_name or "pedestrian"])
        if wrong := [number for number in self._by_frame if not 1 <= number <= MOST_FRAMES]:
            raise DataError(f"{path}: frame {wrong[0]}: expected frames numbered from 1 to {MOST_FRAMES} at most")
        self.class_names = next((detections.class_names for detections in self._by_frame.values()), ())
        opened = None if source is None else open_source(source)
        folder = self.path.parent
        info = (opened and opened.sequence) or read_sequence_info(folder) or read_sequence_info(folder.parent)
        stated = info or opened
        self.frame_rate = stated.frame_rate if stated else None
        self.length = opened.length if opened else max([*self._by_frame, (info and info.length) or 0])
        self._size_hw = info.size_hw if info else None

    def stream(
        self, source: SourceLike | None, *, on_error: ErrorHandler | None = None
    ) -> Iterator[tuple[Frame, Detections]]:
        """Iterate over frames and their detections, as `Detector.stream` does; without a source frames are black."""
        number = 0
        for frame in self._blank() if source is None else frames(source, on_error=on_error):
            number = frame.index + 1
            yield frame, self._by_frame.get(number, Detections.empty())
        if beyond := [other for other in self._by_frame if other > number]:
            text = f"{self.path}: detections of {len(beyond)} frames, {beyond[0]} to {beyond[-1]}, are beyond the"
            warnings.warn(f"{text} {number} frames of the source; they are left out", stacklevel=2)

    def _blank(self) -> Iterator[Frame]:
        """Make frames of the size that is stated, else of one that holds all boxes."""
        if self._size_hw is None:
            corners = [detections.bboxes[:, 2:].max(axis=0, initial=1) for detections in self._by_frame.values()]
            width, height = np.ceil(np.max(corners or [np.ones(2)], axis=0)).astype(int).tolist()
            self._size_hw = height, width
        blank = np.broadcast_to(np.zeros(3, dtype=np.uint8), (*self._size_hw, 3))
        for index in range(self.length or 0):
            yield Frame(blank, f"{index + 1:06d}", None, index)
