"""The detections of an epoch of validation, collected, and the figures that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from centernet.annotations.keypoints import KEYPOINTS
from centernet.calibration import Calibration
from centernet.column import Column
from centernet.data import Annotation, DetectionDataset
from centernet.data.fields import keypoint_field
from centernet.detections import Detections
from centernet.evaluation import EVALUATORS, CocoEvaluator, KeypointEvaluator, ValidationResult
from centernet.evaluation.error_bars import ErrorBars
from centernet.evaluation.reliability import LEAST_SCORE, fit_calibration
from centernet.evaluation.tracking import TrackingEvaluator, TrackingResult, Tracks
from centernet.inference.thresholds import TRACKER_SCORES, suited
from centernet.skeleton import Skeleton
from centernet.tracking import Tracker

Collected: TypeAlias = tuple[CocoEvaluator, dict[Path, tuple[Annotation, Detections]], KeypointEvaluator | None]
"""Parts of a validation that one device has."""


class TrackedVideo(NamedTuple):
    """A video after it was tracked: N frames that were evaluated, and tracks by the name of each class."""

    name: str
    indices: Sequence[int]  # N, in the data set
    truth: dict[str, Tracks]  # frames are places in `indices`
    found: dict[str, Tracks]


class Validation:
    """Detections of an epoch against the truth: COCO's and Pascal VOC's figures, those of the data set's own benchmark,
    those of tracks in videos, and those of keypoints where data and detections have them.

    Tracks are made when all detections are in: then the tracker sees each video whole and in the order of time, also
    where several devices shared its frames. Until then memory grows with the detections that the tracker would use.

    Where scores are to be calibrated, that comes first: the tracks are those of calibrated scores, as users will get
    them. A tracker whose score thresholds are given has been set for the scores as they are; they are left so, and the
    calibration holds the thresholds alone.

    Args:
        class_names: by label.
        dataset: the data; its `benchmark` names its evaluator (`EVALUATORS`). Without `sequences` and identities there
            are no figures of tracks.
        tracker: arguments of `centernet.tracking.Tracker`, but for the frame rate.
        calibration: that the detections' scores have been through.
        calibrate: fit a calibration to the scores when all are in.

    Attributes:
        calibration: that given, or the one that `compute` has fitted; None where the scores were too few.
        evaluator: has the detections, in their images' pixels.
        dataset: that given.
        result: the figures that `compute` gave last.
        videos: as `compute` has tracked them.
        tracks: the evaluator of these; None without videos.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        dataset: DetectionDataset | None = None,
        tracker: Mapping[str, Any] | None = None,
        calibration: Calibration | None = None,
        *,
        calibrate: bool = False,
    ) -> None:
        self.evaluator, self.dataset = CocoEvaluator(class_names), dataset
        self.result: ValidationResult | None = None
        self.videos: list[TrackedVideo] = []
        self.tracks: TrackingEvaluator | None = None
        self._benchmark = None if dataset is None else dataset.benchmark
        if self._benchmark is not None and self._benchmark not in EVALUATORS:
            names = ", ".join(EVALUATORS)
            raise ValueError(f"the data set's benchmark is {self._benchmark!r}: expected one of {names}, or None")
        field = None if dataset is None else keypoint_field(dataset.fields)
        self._skeleton = None if field is None else field.skeleton
        self._poses: KeypointEvaluator | None = None
        self._tracker = dict(tracker or {})
        self._videos = dataset if dataset is not None and dataset.sequences and dataset.num_identities else None
        self.calibration, self._calibrate = calibration, calibrate
        options = Tracker(**suited(self._tracker, calibration, class_names)).options
        self._least_score = min(options.high_score, 1.0 if options.low_score is None else options.low_score)
        if calibrate:
            self._least_score = min(self._least_score, LEAST_SCORE)
        self._frames: dict[Path, tuple[Annotation, Detections]] = {}

    def update(self, truth: Annotation, found: Detections) -> None:
        """Add an image, whose detections are in its own pixels."""
        self.evaluator.update(truth, found)
        if self._skeleton is not None and _has(found, self._skeleton):
            self._poses = self._poses or KeypointEvaluator(self.evaluator.class_names, self._skeleton)
            self._poses.update(truth, found)
        if self._videos is not None:
            self._frames[truth.path] = truth, found.filter(score_threshold=self._least_score)

    def collected(self) -> Collected:
        """Return what one device has, to be sent to the others."""
        return self.evaluator, self._frames, self._poses

    def join(self, parts: Sequence[Collected]) -> None:
        """Take what all devices have in place of this one's: in one order, so that all come to the same figures."""
        self.evaluator, self._frames, self._poses = CocoEvaluator(self.evaluator.class_names), {}, None
        for coco, frames, poses in parts:
            self.evaluator.merge(coco)
            self._frames |= frames
            if poses is not None:
                self._poses = self._poses or KeypointEvaluator(poses.class_names, poses.skeleton)
                self._poses.merge(poses)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.evaluator)

    def compute(self) -> ValidationResult:
        """Return the figures of all that was collected."""
        if self._calibrate:
            rescale = not self._tracker.keys() & set(TRACKER_SCORES)
            self.calibration = fit_calibration(self.evaluator, rescale=rescale)
        tracking = self.tracking()
        self.result = ValidationResult.of(self.evaluator, self._benchmark, tracking=tracking, keypoints=self._poses)
        return self.result

    def error_bars(self) -> ErrorBars:
        """Return the intervals of the figures that `compute` gave; of as many images as 1,000 there are none."""
        result = self.compute() if self.result is None else self.result
        return ErrorBars.of(self.evaluator, result, self._benchmark, self.tracks, self._poses)

    def tracking(self) -> TrackingResult | None:
        """Return the figures of the tracks; None where there is no video. Frames that were not evaluated do not exist.

        An object of a video that has no identity and is not to be ignored is a ValueError.
        """
        if self._videos is None:
            return None
        names = self.evaluator.class_names
        evaluator = TrackingEvaluator(names)
        self.videos = []
        for video in self._videos.sequences:
            indices = [i for i in range(video.start, video.stop) if self._videos.path(i) in self._frames]
            if not indices:
                continue
            settings = suited(self._tracker, self.calibration, names)
            tracker = Tracker(**settings, frame_rate=video.frame_rate)
            frames = [self._frames[self._videos.path(index)] for index in indices]
            if self._calibrate and (calibration := self.calibration) is not None:
                frames = [(truth, replace(found, scores=calibration(found.scores))) for truth, found in frames]
            tracks = [
                tracker.update(found, self._videos.image(index).read()[0] if tracker.options.camera_motion else None)
                for index, (_, found) in zip(indices, frames, strict=True)
            ]
            tracked = TrackedVideo(video.name, indices, {}, {})
            for label, name in enumerate(names):
                try:
                    truth = Tracks.from_annotations((truth for truth, _ in frames), label)
                except ValueError as error:
                    raise ValueError(f"validation, video {video.name}: {error}") from error
                found = Tracks.from_detections(tracks, label)
                evaluator.update(video.name, truth, found, num_frames=len(frames), class_name=name)
                tracked.truth[name], tracked.found[name] = truth, found
            self.videos.append(tracked)
        self.tracks = evaluator if len(evaluator) else None
        return evaluator.compute() if len(evaluator) else None


def _has(found: Detections, skeleton: Skeleton) -> bool:
    """Return True for detections with all keypoints of a skeleton, by their names."""
    own = next((column.skeleton for column in found.columns if column.name == KEYPOINTS), None)
    return own is not None and set(skeleton.names) <= set(own.names)


def figure_names(dataset: DetectionDataset, columns: Sequence[Column] = ()) -> list[str]:
    """Return the names of the figures that a validation of a network with these columns gives on a data set."""
    validation = Validation(dataset.class_names, dataset)
    first = int(dataset.columns.samples()[~dataset.columns.ignore][0])  # one image with an object shows the names
    data = {column.name: np.zeros((0, *column.shape), column.dtype) for column in columns}
    validation.update(dataset.annotation(first), Detections([], [], [], columns=columns, data=data))
    return list(validation.compute().stats)
