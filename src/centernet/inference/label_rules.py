"""Rules of pseudo-labels: classes, thresholds, what is sure and what uncertain, and boxes that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from centernet import boxes as box_ops
from centernet.annotations.class_names import joined_names, places_of
from centernet.annotations.image_names import ImageNames
from centernet.annotations.keypoints import KEYPOINTS, found_keypoints
from centernet.annotations.problems import DataError, check_option, with_nearest
from centernet.data.dataset import DetectionDataset
from centernet.data.fields import keypoint_field
from centernet.data.sample import Bools, Floats, Ints, Shares
from centernet.detections import OTHER, Detections
from centernet.inference.fusion import fuse_boxes
from centernet.inference.teachers import Teacher
from centernet.skeleton import Skeleton

Thresholds = float | Mapping[str, float]
SAME_OBJECT = 0.5
"""Overlap beyond which an uncertain box is of an object of its class that is labelled."""
TWO_CLASSES = 0.9
"""Overlap beyond which boxes of two classes are one object, whose better class counts; the other is uncertain."""


@dataclass
class Rules:
    """Rules by which findings become labels: L classes, S views of all teachers."""

    class_names: Sequence[str]
    labels: Sequence[Ints]  # of each view: the data set's label, or -1, of each of its own
    weights: Shares  # S×L
    threshold: Shares  # L
    ignore_threshold: Shares  # L
    iou: float
    skeleton: Skeleton | None  # of K keypoints
    notes: list[str]

    @classmethod
    def of(
        cls,
        teachers: Sequence[Teacher],
        datasets: Sequence[DetectionDataset],
        classes: Sequence[str] | None,
        threshold: Thresholds | None,
        ignore_threshold: Thresholds | None,
        weights: Sequence[float] | None,
        iou: float,
    ) -> Rules:
        """Match classes, and find the thresholds of each."""
        known = joined_names([*(data.class_names for data in datasets), *(teacher.class_names for teacher in teachers)])
        names = known if classes is None else list(classes)
        unknown = [name for name, place in zip(names, places_of(names, known), strict=True) if place < 0]
        if unknown:
            raise DataError(f"classes: nobody knows {with_nearest(unknown, known)}; known are {', '.join(known)}")
        factors = [1.0] * len(teachers) if weights is None else list(weights)
        right = len(factors) == len(teachers) and all(0 < factor < float("inf") for factor in factors)
        check_option("weights", right, f"a number above 0 for each of {len(teachers)} models", factors)
        check_option("fusion_iou", 0 <= iou < 1, "at least 0 and less than 1", iou)
        labels, rows = list[Ints](), list[Shares]()
        own = np.full(len(names), np.nan)
        for teacher, factor in zip(teachers, factors, strict=True):
            places = np.array(places_of(teacher.class_names, names), np.int64)
            views = 1 if teacher.find is not None else len(teacher.views)
            labels += [places] * views
            knows = np.isin(np.arange(len(names)), places)
            rows += [knows * np.float64(factor)] * views
            for name, label in zip(teacher.class_names, places.tolist(), strict=True):
                if label >= 0 and np.isnan(own[label]):
                    own[label] = teacher.threshold(name)
        sure = _by_class("threshold", threshold, names, own)
        unsure = _by_class("ignore_threshold", ignore_threshold, names, sure / 2)
        table = np.array(rows, np.float64).reshape(-1, len(names))
        skeleton, left_out = _skeleton(teachers, datasets)
        notes = _notes(teachers, datasets, names) + left_out
        return cls(names, labels, table, sure, unsure, iou, skeleton, notes)

    def described(self, counts: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return each class with its thresholds and the number of its objects, for JSON.

        Names of classes are values, as those of keys tell `centernet check` a file of annotations.
        """
        rows = zip(self.class_names, self.threshold.tolist(), self.ignore_threshold.tolist(), strict=True)
        return [
            {
                "name": name,
                "threshold": round(sure, 4),
                "ignore_threshold": round(unsure, 4),
                "count": counts.get(name, 0),
            }
            for name, sure, unsure in rows
        ]

    def find(self, found: Sequence[Detections | None]) -> tuple[Floats, Ints, Floats, Floats]:
        """Return what all views of an image found as boxes N×4, labels, scores and keypoints N×K×3, best first."""
        present = [(view, part) for view, part in enumerate(found) if part is not None]
        parts = [part for _, part in present]
        boxes = np.concatenate([np.zeros((0, 4), np.float32), *(part.bboxes for part in parts)])
        scores = np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)])
        labels = np.concatenate([np.zeros(0, np.int64), *(self.labels[view][part.labels] for view, part in present)])
        views = np.repeat(np.arange(len(parts)), list(map(len, parts)))
        rows = np.flatnonzero(labels >= 0)
        boxes, labels, scores, views = boxes[rows], labels[rows], scores[rows], views[rows]
        if len(present) == 1:
            skeleton, points = found_keypoints(parts[0])
            same = skeleton is not None and _same(skeleton, self.skeleton)
            return boxes, labels, scores, points[rows] if same else no_keypoints(len(boxes), self.skeleton)
        if len(present) > 1:
            weights = self.weights[[view for view, _ in present]]
            boxes, scores, labels = fuse_boxes(boxes, scores, labels, views, weights, iou_threshold=self.iou)
        return boxes, labels, scores, no_keypoints(len(boxes), self.skeleton)

    def judge(self, boxes: Floats, labels: Ints, scores: Floats) -> tuple[Ints, Bools]:
        """Return the rows that are written, and which of them are regions to ignore."""
        sure = scores >= self.threshold[labels]
        unsure = ~sure & (scores >= self.ignore_threshold[labels])
        better = (scores[:, None] < scores) | ((scores[:, None] == scores) & (labels[:, None] > labels))
        second = (better & sure & (labels[:, None] != labels) & (box_ops.iou(boxes, boxes) > TWO_CLASSES)).any(axis=1)
        sure, unsure = sure & ~second, unsure | (sure & second)
        same = (labels[:, None] == labels[sure]) & (box_ops.iou(boxes, boxes[sure]) > SAME_OBJECT)
        rows = np.flatnonzero(sure | (unsure & ~same.any(axis=1)))
        return rows, ~sure[rows]


class Stated(NamedTuple):
    """The boxes that data sets state of an image, and the labels of the classes that they annotate in it."""

    boxes: Floats
    labels: Ints
    ignore: Bools
    areas: Floats
    keypoints: Floats  # N×K×3
    annotated: Ints


class Genuine:
    """The boxes of data sets that are labelled already, by the paths of their images, with keypoints of a skeleton."""

    def __init__(
        self, datasets: Sequence[DetectionDataset], class_names: Sequence[str], skeleton: Skeleton | None = None
    ) -> None:
        self._skeleton = skeleton
        self._parts = [
            (
                data,
                ImageNames(str(data.path(index)) for index in range(len(data))),
                np.array([*places_of(data.class_names, class_names), -1], np.int64),
            )
            for data in datasets
        ]
        self.boxes = self.images = 0

    def find(self, location: str, size_hw: tuple[int, int]) -> Stated | None:
        """Return what is stated of an image of this size; None where it is not there, a DataError where several fit.

        Of data sets that annotate the same class in it, as the lists train and trainval do, the first counts.
        """
        annotated, parts = np.zeros(0, np.int64), list[Any]()
        for data, names, label_of in self._parts:
            if (place := names.find(location)) < 0:
                continue
            truth = data.annotation(place)
            labels = label_of[truth.labels]
            boxes = box_ops.clip(truth.boxes, size_hw)  # the image may be another copy
            wanted = ((labels >= 0) & ~np.isin(labels, annotated)) | ((truth.labels < 0) & (not parts))
            wanted &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            field = keypoint_field(data.fields)
            own = field is not None and field.skeleton is not None and _same(field.skeleton, self._skeleton)
            points = truth.data[KEYPOINTS] if own else no_keypoints(len(boxes), self._skeleton)
            parts.append([values[wanted] for values in (boxes, labels, truth.ignore, truth.areas, points)])
            annotated = np.union1d(annotated, label_of[label_of >= 0])
        if not parts:
            return None
        boxes, labels, ignore, areas, points = map(np.concatenate, zip(*parts, strict=True))
        self.boxes, self.images = self.boxes + len(boxes), self.images + 1
        return Stated(boxes, labels, ignore, areas, points, annotated)


def no_keypoints(count: int, skeleton: Skeleton | None) -> Floats:
    """Return keypoints that are not labelled, count×K×3."""
    return np.zeros((count, 0 if skeleton is None else len(skeleton), 3), np.float32)


def _same(one: Skeleton, other: Skeleton | None) -> bool:
    """True where the keypoints are the same in the same order; limbs and sigmas may differ."""
    return other is not None and one.names == other.names


def _skeleton(teachers: Sequence[Teacher], datasets: Sequence[DetectionDataset]) -> tuple[Skeleton | None, list[str]]:
    """Return the keypoints of what is labelled, those of the first who knows some, and say whose are left out."""
    fields = [(repr(data), keypoint_field(data.fields)) for data in datasets]
    known = [(name, field.skeleton) for name, field in fields if field is not None]
    fused = len(teachers) > 1 or any(len(teacher.views) > 1 for teacher in teachers)
    known += [] if fused else [(teacher.name, teacher.skeleton) for teacher in teachers]
    posed = [(name, skeleton) for name, skeleton in known if skeleton is not None]
    first = posed[0][1] if posed else None
    notes = [
        f"{name}: its keypoints are left out, as they are not those of {posed[0][0]}"
        for name, skeleton in posed
        if not _same(skeleton, first)
    ]
    losing = ", ".join(teacher.name for teacher in teachers if teacher.skeleton is not None)
    if fused and losing:
        notes.append(f"keypoints of {losing} are left out: boxes alone of several models or views are fused")
    return first, notes


def _by_class(key: str, given: Thresholds | None, names: Sequence[str], own: Shares) -> Shares:
    """Return a threshold for each class: those given, else its own."""
    asked = dict(given) if isinstance(given, Mapping) else {} if given is None else {OTHER: given}
    if wrong := [value for value in asked.values() if not 0 <= value <= 1]:
        raise DataError(f"{key}: expected 0..1, got {wrong[0]}")
    rest = asked.pop(OTHER, None)
    values = np.where(np.isnan(own), 1.0, own) if rest is None else np.full(len(names), rest)
    for name, place in zip(asked, places_of(list(asked), names), strict=True):
        if place < 0:
            raise DataError(f"{key}: {with_nearest([name], names)} is none of the classes {', '.join(names)}")
        values[place] = asked[name]
    return values


def _notes(teachers: Sequence[Teacher], datasets: Sequence[DetectionDataset], names: Sequence[str]) -> list[str]:
    """Say which names are taken for one, and who does not know which classes."""
    notes = list[str]()
    parties = [*((repr(data), data.class_names) for data in datasets), *((t.name, t.class_names) for t in teachers)]
    for who, own in parties:
        places = places_of(own, names)
        others = [
            f"{name} as {names[at]}" for name, at in zip(own, places, strict=True) if at >= 0 and name != names[at]
        ]
        notes += [f"{who}: {', '.join(others)}"] if others else []
    for teacher in teachers:
        known = frozenset(places_of(teacher.class_names, names))
        missing = [name for place, name in enumerate(names) if place not in known]
        some = ", ".join(missing[:10]) + f" and {len(missing) - 10} more" * (len(missing) > 10)
        notes += [f"{teacher.name}: does not know {some}"] if missing else []
    return notes
