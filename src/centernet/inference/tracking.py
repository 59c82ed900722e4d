"""Objects with identities from frame to frame: a detector and a tracker over a source of frames, without torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from centernet.detections import Detections
from centernet.inference.sources import ErrorHandler, Frame, Source, open_source
from centernet.tracking import Tracker

if TYPE_CHECKING:
    from centernet.inference.detector import Detector
    from centernet.inference.stored_detections import StoredDetections


def track(
    detector: Detector | StoredDetections, tracker: Tracker, source: Any, *, on_error: ErrorHandler | None = None
) -> Iterator[tuple[Frame, Detections]]:
    """Track the objects of a source, frame by frame in the order of time.

    Identities and numbers of frames start anew with each video, and with a folder or a pattern of images. Images and
    arrays that are given one by one or in a list go on from what the tracker has seen. A frame comes out before the
    next batch is read, so what was tracked before an interruption or a break of the source has been given.

    Args:
        detector: finds the objects, or has them. Its score threshold should not be above the tracker's own, best 0.
        tracker: or anything with its `update`, and `reset` for several videos.
        source: what `centernet.inference.frames` takes; the images of a folder are the frames, by name.
        on_error: called for each image that cannot be read: for the tracker that is a frame without detections.
            Without it the error is raised.

    Raises:
        SourceError, ImageError: as `frames` does, after everything read before has been given.
    """
    parts = [None] if source is None else open_source(source).parts
    for number, part in enumerate(parts):
        if number or (part is not None and part.kind not in ("image", "list") and hasattr(tracker, "reset")):
            tracker.reset()
        yield from _track(detector, tracker, part, on_error)


def _track(
    detector: Detector | StoredDetections, tracker: Tracker, source: Source | None, on_error: ErrorHandler | None
) -> Iterator[tuple[Frame, Detections]]:
    """Track the objects of one stretch of time."""
    timed = "time" in inspect.signature(tracker.update).parameters
    every = 1 if source is None else source.every
    due = 0
    for frame, found in detector.stream(source, on_error=on_error):  # type: ignore[arg-type]
        if timed and (frame.time is not None or every > 1):
            time = frame.index / tracker.frame_rate if frame.time is None else frame.time
            yield frame, tracker.update(found, frame.image, time=time)
            continue
        for _ in range(due, frame.index // every):  # time passes in unreadable images too
            tracker.update(Detections.empty(detector.class_names))
        due = frame.index // every + 1
        yield frame, tracker.update(found, frame.image)


def make_tracker(
    detector: Detector | StoredDetections,
    frame_rate: float,
    *,
    preset: str | None = None,
    start_score: float | None = None,
    **options: Any,
) -> Tracker:
    """Make a tracker for what a detector finds.

    Args:
        detector: whose model says what suits it.
        frame_rate: frames per second.
        preset: a name of `centernet.tracking.PRESETS`; None for the model's own settings. In both, a calibrated model's
            thresholds stand in the place of the preset's.
        start_score: from which on an object starts a track: `high_score` and `new_score` at once, and no second pass
            from there on.
        options: those of `centernet.tracking.TrackerOptions` that differ from the preset's or the model's.
    """
    settings = detector.tracker if preset is None else getattr(detector, "suited", dict)({"preset": preset})
    try:
        plain = Tracker(**settings, frame_rate=frame_rate)
    except (TypeError, ValueError) as error:
        if preset is not None:
            raise
        text = f"no tracker can be made by what the model says suits it ({error}); choose one by its preset (--preset)"
        raise ValueError(f"{detector.name}: {text}") from error
    if start_score is not None:
        low = plain.options.low_score
        settings |= {"high_score": start_score, "new_score": start_score}
        settings |= {"low_score": None} if low is not None and low >= start_score else {}
    return Tracker(**(settings | options), frame_rate=frame_rate)


def collect(tracked: Iterator[tuple[Frame, Detections]]) -> dict[str, list[Any]]:
    """Collect the results of `track` in lists with one entry a frame.

    Returns:
        `bboxes` arrays M×4 float32 in original pixels, `labels` M int64, `scores` M float32, `track_ids` M int64, with
        M the tracks of the frame; `paths` strings (names, for arrays and frames of a video).
    """
    columns: dict[str, list[Any]] = {key: [] for key in ("bboxes", "labels", "scores", "track_ids", "paths")}
    for frame, tracks in tracked:
        for key, values in columns.items():
            values.append(frame.location if key == "paths" else getattr(tracks, key))
    return columns
