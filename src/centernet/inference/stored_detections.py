"""Detections that a file holds, MOTChallenge's det.txt, frame by frame, to be tracked without a network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from centernet.annotations.mot import SequenceInfo, read_mot_detections
from centernet.annotations.problems import DataError
from centernet.detections import Detections
from centernet.inference.sources import Frame, Source, SourceLike, frames, open_source, read_sequence_info
from centernet.inference.tracking import Tracking

MOST_FRAMES = 10_000_000  # a number beyond is no frame's: four days at 30 frames a second


@dataclass(frozen=True)
class StoredDetections:
    """The detections of a sequence.

    Attributes:
        path: of the file.
        by_frame: number of a frame, from 1 → its detections; frames without any are left out.
        source: of the frames; None where they are not at hand.
        sequence: what the seqinfo.ini of the sequence says, where there is one.
    """

    path: Path
    by_frame: dict[int, Detections]
    source: Source | None
    sequence: SequenceInfo | None

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], source: SourceLike | None = None, *, class_name: str | None = None
    ) -> StoredDetections:
        """Read a det.txt. A seqinfo.ini is looked for beside the frames, the file and the file's folder.

        Args:
            path: of the file.
            source: of the frames, what `centernet.inference.open_source` takes.
            class_name: of all its boxes; None for pedestrian.

        Raises:
            DataError: the file cannot be opened, or has numbers that no frame has.
        """
        path = Path(path)
        by_frame = read_mot_detections(path, class_names=[class_name or "pedestrian"])
        wrong = [number for number in by_frame if not 1 <= number <= MOST_FRAMES]
        if wrong:
            text = f"expected frames numbered from 1 to {MOST_FRAMES} at most"
            raise DataError(f"{path}: frame {wrong[0]}: {text}")
        opened = None if source is None else open_source(source)
        info = None if opened is None else opened.sequence
        info = info or read_sequence_info(path.parent) or read_sequence_info(path.parent.parent)
        return cls(path, by_frame, opened, info)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label; empty where there are no detections."""
        return next((detections.class_names for detections in self.by_frame.values()), ())

    @property
    def frame_rate(self) -> float | None:
        """Frames per second that seqinfo.ini or a video states; None where nothing does."""
        if self.sequence is not None:
            return self.sequence.frame_rate
        return None if self.source is None else self.source.frame_rate

    @property
    def length(self) -> int | None:
        """Number of frames, where it is known beforehand."""
        if self.source is not None:
            return self.source.length
        return max([*self.by_frame, (self.sequence.length if self.sequence else None) or 0])

    def track(self, tracker: Tracking) -> Iterator[tuple[Frame, Detections]]:
        """Track the detections frame by frame; frames without a source are blank.

        Raises:
            SourceError, ImageError: as `centernet.inference.frames` does.
        """
        number = 0
        for frame in self._blank() if self.source is None else frames(self.source):
            number = frame.index + 1
            image = None if self.source is None else frame.image
            yield frame, tracker.update(self.by_frame.get(number, Detections.empty()), image)
        beyond = [other for other in self.by_frame if other > number]
        if beyond:
            text = f"{self.path}: detections of {len(beyond)} frames, {beyond[0]} to {beyond[-1]}, are beyond the"
            warnings.warn(f"{text} {number} frames of the source; they are left out", stacklevel=2)

    def _blank(self) -> Iterator[Frame]:
        """Make frames of the size that is stated, else of one that holds all boxes."""
        size_hw = None if self.sequence is None else self.sequence.size_hw
        if size_hw is None:
            corners: list[Any] = [d.bboxes[:, 2:].max(axis=0, initial=1) for d in self.by_frame.values()]
            width, height = np.ceil(np.max(corners or [[1, 1]], axis=0)).astype(int).tolist()
            size_hw = (height, width)
        blank = np.broadcast_to(np.zeros(3, dtype=np.uint8), (*size_hw, 3))
        for number in range(1, (self.length or 0) + 1):
            yield Frame(blank, f"{number:06d}", None, number - 1)
