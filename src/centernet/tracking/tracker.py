"""Tracker: gives identities to the detections of frame after frame."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..boxes import elementwise_iou
from ..detections import Detections
from .association import Array, Indices, Matching, appearance_cost, overlapping
from .camera import CameraMotion
from .kalman import KalmanFilter
from .options import PRESETS, TrackerOptions
from .smoothing import OneEuro

_FIRST_ROWS = 64


class Tracker:
    """Gives identities to detections, frame by frame; an answer depends on no later frame.

    Args:
        preset: a name of `PRESETS`: "sort", "fairmot", "bytetrack" or "default".
        frame_rate: frames per second of the video; where frames come with their times, the usual number.
        overrides: options that differ from the preset's, as ``lost_seconds=3`` (`TrackerOptions`).

    Attributes:
        options: the preset's, with the overrides.
        frame: number of frames since the start or `reset()`.

    Raises:
        ValueError: an unknown preset, or a value that an option cannot have.
        TypeError: an unknown option.

    Example:
        >>> from centernet import Detections, Tracker
        >>> tracker = Tracker(frame_rate=25)
        >>> for x in (10, 12, 14):
        ...     found = Detections([[x, 20, x + 30, 90], [200, 20, 230, 90]], labels=[0, 0], scores=[0.9, 0.8])
        ...     tracks = tracker.update(found)
        >>> tracks.track_ids.tolist()
        [1, 2]
    """

    def __init__(self, preset: str = "default", frame_rate: float = 30.0, **overrides: Any) -> None:
        if preset not in PRESETS:
            raise ValueError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}")
        names = [field.name for field in fields(TrackerOptions)]
        unknown = sorted(set(overrides) - set(names))
        if unknown:
            raise TypeError(f"unknown option {', '.join(map(repr, unknown))}: expected some of {', '.join(names)}")
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise ValueError(f"frame_rate: expected frames a second, above 0, got {frame_rate!r}")
        self.options = replace(PRESETS[preset], **overrides)
        self.frame_rate = frame_rate
        self._lost_frames = math.ceil(self.options.lost_seconds * frame_rate - 1e-6)
        self._filter = KalmanFilter(self.options.motion)
        self.reset()

    def reset(self) -> None:
        """Forget all tracks, before the next sequence; ids count from 1 again."""
        self.frame = 0
        self._clock = 0.0  # frames at the frame rate since the start: as `frame`, but where times say otherwise
        self._time: float | None = None  # seconds, of the last frame
        self.tracks = TrackStates()
        # Rows of tracks that have a detection in the last frame, confirmed or not, and of those that are looked for.
        self.tracked = self.lost = np.zeros(0, dtype=np.int64)
        self._next_id = 1
        self._camera = CameraMotion() if self.options.camera_motion else None
        self._smoothing: dict[str, OneEuro] = {}

    def update(
        self, detections: Detections | ArrayLike, image: NDArray[np.uint8] | None = None, *, time: float | None = None
    ) -> Detections:
        """Track the detections of the next frame, also where it has none.

        Args:
            detections: of the frame, in its own pixels, with all scores: the options hold the thresholds. Or an array
                N×5 or N×6 of these: x1 y1 x2 y2 score, and label.
            image: the frame, H×W×3 uint8 RGB; used with the option `camera_motion` alone.
            time: of the frame in seconds, from any start. Tracks move and age by it, so that frames may be left out
                and their rate may vary. Without it, and where it is not later than before (a stream that began anew),
                a frame lasts as `frame_rate` says.

        Returns:
            The objects of this frame that belong to confirmed tracks: `track_ids` from 1, `bboxes` and `scores` of the
            tracks, `labels` and further columns of their detections. In the order of the tracks.

        Raises:
            ValueError: embeddings that aren't finite or of another length than before, no image for `camera_motion`,
                or an array of another shape. Nothing has changed then: the frame can be given again.
        """
        if self._camera is not None and image is None:
            raise ValueError("the option camera_motion needs every frame: update(detections, image)")
        if time is not None and not math.isfinite(time):
            raise ValueError(f"time: expected seconds, or None, got {time!r}")
        if not isinstance(detections, Detections):
            detections = _detections(detections)
        embeddings = self._checked_embeddings(detections)
        boxes = detections.bboxes.astype(np.float64)
        if self._camera is not None and image is not None:
            self._move_with_camera(self._camera.update(image, boxes))
        scores = detections.scores.astype(np.float64)
        owner = self._step(boxes, scores, detections.labels, embeddings, self._passed(time))
        tracks = self.tracks
        rows = self.tracked[tracks.confirmed[self.tracked]]
        data = detections.data
        if data:  # else there is no need to know which detection is whose
            order = owner.argsort()
            places = order[owner.searchsorted(rows, sorter=order)]
            data = {name: values[places] for name, values in data.items()}
        found = self._filter.boxes(tracks.mean[rows]).astype(np.float32)
        if self.options.point_cutoff is not None:
            for column in detections.columns:
                if column.kind == "points":
                    smooth = self._smoothing.setdefault(column.name, OneEuro(self.options.point_cutoff))
                    seconds = self._clock / self.frame_rate
                    data[column.name] = smooth(tracks.id[rows], data[column.name], found, seconds)
        return Detections(
            found,
            tracks.label[rows],
            tracks.score[rows].astype(np.float32),
            track_ids=tracks.id[rows],
            class_names=detections.class_names,
            columns=detections.columns,
            data=data,
        )

    def _passed(self, time: float | None) -> float:
        """Return the frames at the frame rate since the last frame. Times in files are rounded: 1.03 frames are one."""
        before = self._time
        self._time = before + 1 / self.frame_rate if time is None and before is not None else time
        if before is None or time is None or time <= before:
            return 1.0
        frames = (time - before) * self.frame_rate
        return max(1.0, round(frames)) if abs(frames - round(frames)) <= 0.1 else frames

    def _checked_embeddings(self, detections: Detections) -> Array | None:
        """Return the embeddings N×D, where there are any and the options use them."""
        if detections.embeddings is None or not len(detections) or self.options.appearance_limit is None:
            return None
        embeddings = detections.embeddings.astype(np.float64)
        wrong = ~np.isfinite(embeddings).all(axis=1)
        if wrong.any():
            row, rows = int(np.argmax(wrong)), int(wrong.sum())
            text = f"row {row} has {int((~np.isfinite(embeddings[row])).sum())} that aren't ({rows} such rows)"
            raise ValueError(f"embeddings: expected finite numbers, {text}: was the network's output NaN?")
        length = self.tracks.embedding.shape[1]
        if length not in (0, embeddings.shape[1]):
            text = f"expected N×{length} as in earlier frames, got N×{embeddings.shape[1]}"
            raise ValueError(f"embeddings: {text}; call reset() before tracking with another network")
        return embeddings

    def _move_with_camera(self, matrix: Array) -> None:
        rows, tracks, warp = np.concatenate([self.tracked, self.lost]), self.tracks, self._filter.warp
        tracks.mean[rows], tracks.covariance[rows] = warp(tracks.mean[rows], tracks.covariance[rows], matrix)
        if self.options.reupdate:
            then = tracks.then_mean[rows], tracks.then_covariance[rows]
            tracks.then_mean[rows], tracks.then_covariance[rows] = warp(*then, matrix)

    def _step(
        self, boxes: Array, scores: Array, labels: Indices, embeddings: Array | None, passed: float = 1.0
    ) -> Indices:
        """Track one frame, `passed` frames after the last. Returns the row of `tracks` of each detection, or -1."""
        options, tracks = self.options, self.tracks
        self.frame += 1
        self._clock += passed
        if passed != 1:
            self._forget_the_old()
        if embeddings is not None:
            embeddings = _unit(embeddings)
            if not tracks.embedding.shape[1]:
                tracks.embedding = np.zeros((len(tracks.id), embeddings.shape[1]))

        confirmed = tracks.confirmed[self.tracked]
        pool = np.concatenate([self.tracked[confirmed], self.lost])
        rows = np.concatenate([pool, self.tracked[~confirmed]])
        if not (len(rows) or len(boxes)):
            return rows
        self._predict(pool if options.upstream_habits else rows, passed)

        high = scores > options.high_score
        owner = self._associate(rows, len(pool), boxes, scores, labels, embeddings)
        matched = (owner >= 0).nonzero()[0]
        self._continue(owner[matched], boxes[matched], scores[matched], labels[matched])
        if embeddings is not None:
            sure = matched[high[matched]]  # the embedding of a low score says little
            share, known = options.embedding_momentum, tracks.embedding[owner[sure]]
            tracks.embedding[owner[sure]] = _unit(share * known + (1 - share) * embeddings[sure])
        fresh = (high & (owner < 0) & (scores >= options.new_score)).nonzero()[0]
        if len(fresh):
            owner[fresh] = self._begin(boxes[fresh], scores[fresh], labels[fresh])
            if embeddings is not None:
                tracks.embedding[owner[fresh]] = embeddings[fresh]

        self._sort_out(owner[fresh])
        return owner

    def _predict(self, rows: Indices, passed: float) -> None:
        """Move tracks some frames on; those that were lost keep their size."""
        tracks = self.tracks
        mean = tracks.mean[rows]
        found = tracks.last[rows] == self.frame - 1
        mean[:, 1, (3 if self.options.motion == "xyah" else 2) :] *= found[:, None]
        tracks.mean[rows], tracks.covariance[rows] = self._filter.predict(mean, tracks.covariance[rows], passed)

    def _associate(
        self, rows: Indices, pool: int, boxes: Array, scores: Array, labels: Indices, embeddings: Array | None
    ) -> Indices:
        """Return the row of `tracks` that each detection continues, or -1; the first `pool` rows are confirmed."""
        options, tracks = self.options, self.tracks
        matching = Matching(len(rows), len(boxes))
        if not (len(rows) and len(boxes)):
            return matching.track_of
        high, confirmed = scores > options.high_score, np.arange(len(rows)) < pool
        tracked = confirmed & (tracks.last[rows] == self.frame - 1)

        if embeddings is not None and options.appearance_limit is not None:
            state, measured = (tracks.mean[rows], tracks.covariance[rows]), self._filter.measurements(boxes)
            known, distance = tracks.embedding[rows], self._filter.gating_distance(*state, measured)
            weight = options.appearance_weight
            cost = appearance_cost(known, embeddings, distance, gate=options.gate, weight=weight)
            same_class = (tracks.label[rows, None] == labels) | (not options.per_class)
            i, j = np.nonzero((cost < options.appearance_limit) & same_class)
            matching.pair(i, j, cost[i, j], options.appearance_limit, tracks=confirmed, detections=high)
        i, j, overlap = overlapping(self._filter.boxes(tracks.mean[rows]), boxes, inclusive=options.inclusive_iou)
        if options.per_class:
            same = tracks.label[rows][i] == labels[j]
            i, j, overlap = i[same], j[same], overlap[same]
        likeness = overlap * scores[j] if options.fuse_scores else overlap
        if embeddings is not None and options.appearance_share:
            cosine = np.einsum("kd,kd->k", tracks.embedding[rows[i]], embeddings[j])
            likeness = likeness * (1 - options.appearance_share * np.clip(1 - cosine, 0, 1))
        ranked = 1 - likeness
        near = confirmed if options.iou_finds_lost else tracked
        matching.pair(i, j, ranked, options.iou_limit, tracks=near, detections=high)
        if options.low_score is not None:
            low = (scores > options.low_score) & ~high
            near = confirmed if options.low_finds_lost else tracked
            matching.pair(i, j, 1 - overlap, options.low_iou_limit, tracks=near, detections=low)
        if pool < len(rows):
            matching.pair(i, j, ranked, options.unconfirmed_iou_limit, tracks=~confirmed, detections=high)

        found = matching.track_of >= 0
        return np.where(found, rows[matching.track_of], -1)

    def _continue(self, rows: Indices, boxes: Array, scores: Array, labels: Indices) -> None:
        """Update tracks with their detections."""
        options, tracks = self.options, self.tracks
        measured = self._filter.measurements(boxes)
        gap = self.frame - tracks.last[rows]
        again = gap > 1
        if options.reupdate and again.any():
            self._replay(rows[again], measured[again], gap[again])
        mean, covariance = self._filter.update(tracks.mean[rows], tracks.covariance[rows], measured)
        tracks.mean[rows], tracks.covariance[rows] = mean, covariance
        if options.reupdate:
            tracks.then_mean[rows], tracks.then_covariance[rows] = mean, covariance
        tracks.score[rows] = np.where(again, tracks.score[rows], scores) if options.upstream_habits else scores
        hits = np.where(again, 0, tracks.hits[rows]) + 1
        tracks.hits[rows], tracks.last[rows], tracks.label[rows] = hits, self.frame, labels
        tracks.seen[rows] = self._clock
        tracks.confirmed[rows] |= hits >= options.confirm_hits

    def _replay(self, rows: Indices, measured: Array, gap: Indices) -> None:
        """Filter again the frames in which these tracks were lost, with detections as on a straight line."""
        tracks = self.tracks
        mean, covariance = tracks.then_mean[rows], tracks.then_covariance[rows]
        step = (measured - mean[:, 0]) / gap[:, None]
        passed = ((self._clock - tracks.seen[rows]) / gap)[:, None]  # in each of them
        line = mean[:, 0].copy()
        for frame in range(1, int(gap.max()) + 1):
            on = frame <= gap
            mean[on], covariance[on] = self._filter.predict(mean[on], covariance[on], passed[on])
            on = frame < gap  # the last frame has a detection of its own
            line += step
            mean[on], covariance[on] = self._filter.update(mean[on], covariance[on], line[on])
        tracks.mean[rows], tracks.covariance[rows] = mean, covariance

    def _begin(self, boxes: Array, scores: Array, labels: Indices) -> Indices:
        """Start a track with each detection. Returns their rows."""
        tracks = self.tracks
        rows = tracks.allocate(len(boxes), self.tracked, self.lost)
        mean, covariance = self._filter.initiate(self._filter.measurements(boxes))
        tracks.mean[rows], tracks.covariance[rows] = mean, covariance
        tracks.then_mean[rows], tracks.then_covariance[rows] = mean, covariance
        tracks.id[rows] = 0
        if self.options.number_unshown:
            self._number(rows)
        tracks.label[rows], tracks.score[rows] = labels, scores
        tracks.start[rows] = tracks.last[rows] = self.frame
        tracks.seen[rows] = self._clock
        tracks.hits[rows] = 1
        sure = np.inf if self.options.confirm_score is None else self.options.confirm_score
        tracks.confirmed[rows] = (self.frame == 1) | (self.options.confirm_hits == 1) | (scores >= sure)
        tracks.expired[rows] = False
        tracks.embedding[rows] = 0
        return rows

    def _number(self, rows: Indices) -> None:
        """Give the next identities to tracks."""
        self.tracks.id[rows] = np.arange(self._next_id, self._next_id + len(rows))
        self._next_id += len(rows)

    def _forget_the_old(self) -> None:
        """End tracks that would have been ended in the frames that were left out."""
        self.tracked, self.lost = (
            rows[self._clock - self.tracks.seen[rows] <= self._lost_frames + 2] for rows in (self.tracked, self.lost)
        )

    def _sort_out(self, fresh: Indices) -> None:
        """Move rows between the lists of tracked and lost, end tracks, and number those that are shown first."""
        tracks = self.tracks
        before, lost = self.tracked, self.lost
        found = tracks.last[lost] == self.frame
        now = tracks.last[before] == self.frame
        missed = before[~now & tracks.confirmed[before]]  # an unconfirmed track ends with its first miss
        self.tracked = np.concatenate([before[now], fresh, lost[found]])
        self.lost = np.concatenate([lost[~found], missed])
        # A track is looked for in one frame more than lost_seconds says (FairMOT); it is lost only once after that.
        if len(self.lost):
            self.lost = self.lost[~tracks.expired[self.lost]]
            tracks.expired[self.lost] |= self._clock - tracks.seen[self.lost] > self._lost_frames
        if self.options.duplicate_limit is not None:
            self._drop_duplicates(self.options.duplicate_limit)
        self._number(self.tracked[tracks.confirmed[self.tracked] & (tracks.id[self.tracked] == 0)])

    def _drop_duplicates(self, limit: float) -> None:
        """End the younger of a tracked and a lost track in the same place."""
        tracks, tracked, lost, extra = self.tracks, self.tracked, self.lost, float(self.options.inclusive_iou)
        if not (len(tracked) and len(lost)):
            return
        p, q = tracks.mean[tracked], tracks.mean[lost]
        # Boxes that share all but `limit` have centres nearer than that part of the larger one. Hardly any have.
        apart = np.abs(p[:, None, 0, :2] - q[:, 0, :2])  # tracked × lost × 2
        near = apart <= limit * (np.maximum(self._filter.sizes(p)[:, None], self._filter.sizes(q)) + extra)
        i, j = (near[..., 0] & near[..., 1]).nonzero()
        if len(i):
            boxes = self._filter.boxes(p[i]), self._filter.boxes(q[j])
            same = 1 - elementwise_iou(*boxes, inclusive=self.options.inclusive_iou) < limit
            if self.options.per_class:
                same &= tracks.label[tracked[i]] == tracks.label[lost[j]]
            one, other = tracked[i[same]], lost[j[same]]
            older = tracks.last[one] - tracks.start[one] > tracks.last[other] - tracks.start[other]
            self.tracked = tracked[~np.isin(tracked, one[~older])]
            self.lost = lost[~np.isin(lost, other[older])]


class TrackStates:
    """Columns of as many rows as tracks were ever alive at once, rounded up; rows of ended tracks are used again."""

    def __init__(self) -> None:
        self.id = np.zeros(_FIRST_ROWS, dtype=np.int64)  # from 1; 0 before it has one
        self.label = np.zeros(_FIRST_ROWS, dtype=np.int64)  # of the last detection
        self.score = np.zeros(_FIRST_ROWS)  # of the result
        self.start = np.zeros(_FIRST_ROWS, dtype=np.int64)  # frame of the first detection
        self.last = np.zeros(_FIRST_ROWS, dtype=np.int64)  # and of the last one
        self.seen = np.zeros(_FIRST_ROWS)  # the tracker's clock at the last detection
        self.hits = np.zeros(_FIRST_ROWS, dtype=np.int64)  # detections in a row
        self.confirmed = np.zeros(_FIRST_ROWS, dtype=bool)  # shown since it had enough hits
        self.expired = np.zeros(_FIRST_ROWS, dtype=bool)  # lost for too long
        self.mean = np.zeros((_FIRST_ROWS, 2, 4))  # see KalmanFilter
        self.covariance = np.zeros((_FIRST_ROWS, 3, 4))
        self.then_mean = np.zeros((_FIRST_ROWS, 2, 4))  # after the last detection
        self.then_covariance = np.zeros((_FIRST_ROWS, 3, 4))
        self.embedding = np.zeros((_FIRST_ROWS, 0))  # R×D, smoothed, of length 1; zeros where there was none yet

    def allocate(self, count: int, *alive: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return rows for new tracks, rising, that are none of `alive`; they still hold the values of ended tracks."""
        used = np.zeros(len(self.id), dtype=bool)
        used[np.concatenate(alive)] = True
        short = count - int((~used).sum())
        if short > 0:
            more = max(len(used), short)
            for name, column in vars(self).items():
                setattr(self, name, np.concatenate([column, np.zeros((more, *column.shape[1:]), column.dtype)]))
            used = np.concatenate([used, np.zeros(more, dtype=bool)])
        return np.flatnonzero(~used)[:count]


def _detections(rows: ArrayLike) -> Detections:
    """Return rows x1 y1 x2 y2 score, or these and a label, as Detections."""
    array = np.asarray(rows, dtype=np.float64)
    if not array.size and array.ndim < 3:
        array = np.zeros((0, 6))
    if array.ndim != 2 or array.shape[1] not in (5, 6):
        expected = "Detections, or an array N×5 (x1 y1 x2 y2 score) or N×6 (and the label)"
        raise ValueError(f"detections: expected {expected}, got the shape {array.shape}")
    labels = array[:, 5] if array.shape[1] == 6 else np.zeros(len(array))
    return Detections(array[:, :4], labels, array[:, 4])


def _unit(vectors: Array) -> Array:
    """Scale vectors N×D to length 1; zeros stay zeros."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
