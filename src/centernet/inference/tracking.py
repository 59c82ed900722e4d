"""Objects with identities from frame to frame: a detector and a tracker over a source of frames.

The tracker is anything with the `update` of `centernet.tracking.Tracker`; nothing here needs torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from centernet.detections import Detections
from centernet.inference.sources import Frame, Source, is_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.images import ImageError
    from centernet.inference.detector import Detector


class Tracking(Protocol):
    """What gives the detections of frame after frame identities."""

    def update(self, detections: Detections, image: NDArray[np.uint8] | None = None) -> Detections:
        """The tracks that the next frame shows, with `track_ids`."""
        ...


def track(
    detector: Detector,
    tracker: Tracking,
    source: Source,
    *,
    on_error: Callable[[ImageError], None] | None = None,
) -> Iterator[tuple[Frame, Detections]]:
    """Each frame of a source with the tracks in it, in the order of time.

    Memory doesn't grow with the source. A frame comes out before the next batch is read, so what was tracked before an
    interruption or a break of the source has been given.

    Args:
        detector: finds the objects. Its score threshold should not be above the tracker's own, best 0.
        tracker: as it is; `reset()` it before another source.
        source: what `centernet.inference.frames` takes; the pictures of a folder are the frames, by name.
        on_error: called for each picture that cannot be read: for the tracker that is a frame without detections.
            Without it the error is raised.

    Yields:
        Frames, and detections with `track_ids`, boxes in original pixels.

    Raises:
        SourceError, ImageError: as `frames` does, after everything read before has been given.
    """
    due = 0
    for frame, found in detector.stream(source, on_error=on_error):
        for _ in range(due, frame.index):  # time passes in unreadable pictures too
            tracker.update(Detections.empty(detector.class_names))
        due = frame.index + 1
        yield frame, tracker.update(found, frame.image)


def collect(tracked: Iterator[tuple[Frame, Detections]]) -> dict[str, list[Any]]:
    """What `track` gives as lists with one entry a frame.

    Returns:
        `bboxes` arrays M×4 float32 in original pixels, `labels` M int64, `scores` M float32, `track_ids` M int64, with
        M the tracks of the frame; `paths` strings (names, for arrays and frames of a video).
    """
    columns: dict[str, list[Any]] = {key: [] for key in ("bboxes", "labels", "scores", "track_ids", "paths")}
    for frame, tracks in tracked:
        assert tracks.track_ids is not None
        for key in ("bboxes", "labels", "scores", "track_ids"):
            columns[key].append(getattr(tracks, key))
        from_file = frame.path is not None and not is_video(frame.path)
        columns["paths"].append(str(frame.path) if from_file else frame.name)
    return columns


def class_labels(names: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Labels of classes by name.

    Raises:
        ValueError: a name that isn't there; the message lists those that are, and the nearest.
    """
    for name in names:
        if name not in class_names:
            nearest = difflib.get_close_matches(name, class_names, n=1)
            hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
            known = f"its classes are {', '.join(class_names)}" if class_names else "it knows no names of classes"
            raise ValueError(f"classes: {name!r}{hint} is no class of the detector; {known}")
    return [list(class_names).index(name) for name in names]


def frame_rate(source: Source) -> float | None:
    """Frames a second that a video file states; None for other sources, and where it states nothing sensible."""
    import cv2

    if not isinstance(source, (str, Path)) or not is_video(source):
        return None
    capture = cv2.VideoCapture(str(source))
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return rate if 0.01 < rate < 1000 else None
