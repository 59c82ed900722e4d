"""Filling the gaps of finished tracks, for files that are written after the last frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..detections import Detections


def fill_gaps(frames: Sequence[Detections], *, max_gap: int) -> list[Detections]:
    """Add boxes on a straight line where a track was lost for a few frames.

    Args:
        frames: the results of `Tracker.update` for each frame of a sequence, with `track_ids`.
        max_gap: frames without a box, at most, between two boxes of a track that are joined.

    Returns:
        As many frames; the boxes that were added come last in each, with the class of the box before the gap, and
        scores between those before and after it. Embeddings and other columns are not kept.

    Raises:
        ValueError: a frame without `track_ids`, or a `max_gap` below 0.
    """
    if max_gap < 0:
        raise ValueError(f"max_gap: expected a number of frames from 0, got {max_gap}")
    for number, frame in enumerate(frames):
        if frame.track_ids is None:
            raise ValueError(f"frame {number} has no track_ids: fill_gaps() takes what Tracker.update() returns")
    count = [len(frame) for frame in frames]
    if not sum(count):
        return list(frames)
    at = np.repeat(np.arange(len(frames)), count)
    ids = np.concatenate([frame.track_ids for frame in frames if frame.track_ids is not None])
    values = np.concatenate([np.column_stack([frame.bboxes, frame.scores]) for frame in frames]).astype(np.float64)
    labels = np.concatenate([frame.labels for frame in frames])

    order = np.lexsort((at, ids))
    before, after = order[:-1], order[1:]
    missing = at[after] - at[before] - 1
    gap = (ids[before] == ids[after]) & (missing > 0) & (missing <= max_gap)
    before, after, missing = before[gap], after[gap], missing[gap]
    source = np.repeat(np.arange(len(missing)), missing)
    place = np.arange(len(source)) - np.repeat(missing.cumsum() - missing, missing) + 1  # 1, 2 … within each gap
    part = (place / (missing + 1)[source])[:, None]
    added = values[before[source]] * (1 - part) + values[after[source]] * part
    where = at[before[source]] + place
    by_frame = where.argsort(kind="stable")
    starts = where[by_frame].searchsorted(np.arange(1, len(frames)))

    filled = []
    for frame, new in zip(frames, np.split(by_frame, starts), strict=True):
        owner = before[source[new]]
        boxes = np.concatenate([frame.bboxes, added[new, :4].astype(np.float32)])
        scores = np.concatenate([frame.scores, added[new, 4].astype(np.float32)])
        track_ids = np.append(np.asarray(frame.track_ids), ids[owner])
        new_labels = np.concatenate([frame.labels, labels[owner]])
        filled.append(Detections(boxes, new_labels, scores, None, track_ids, frame.class_names))
    return filled
