"""What an evaluator remembers of the images it was shown: a few arrays for each, no Python object for a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from centernet.boxes import xyxy_to_xywh
from centernet.detections import Detections


class Truth(Protocol):
    """The true objects of one image; `centernet.data.Annotation` is one.

    Attributes:
        image_id: identifies the image within the data set.
        boxes: N×4 ``x1 y1 x2 y2``, original pixels.
        labels: N, class indices from 0. -1, allowed where `ignore` is set: any class.
        ignore: N bool, regions where nothing counts: crowds, difficult objects.
        areas: N, square pixels: what decides between small, medium and large (COCO: of the mask).
    """

    @property
    def image_id(self) -> int: ...
    @property
    def boxes(self) -> NDArray[np.float32]: ...
    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def ignore(self) -> NDArray[np.bool_]: ...
    @property
    def areas(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Table:
    """Truth and detections of all images as columns, one row a box, the images by rising id.

    Attributes:
        num_images: how many images, those without any box too.
        truth_image: N int64 index of the image, 0 … num_images - 1.
        truth_label: N int64, 0 … number of classes - 1.
        truth_xywh: N×4 float64, original pixels. The one place with ``x y width height``: that is the form of COCO's
            files, and to change it would round, so that an IoU of exactly .5 might come to lie below the limit.
        truth_ignore: N bool.
        truth_area: N float64, square pixels.
        image, label, xywh, score: the same of the M detections; score float64.
    """

    num_images: int
    truth_image: NDArray[np.int64]
    truth_label: NDArray[np.int64]
    truth_xywh: NDArray[np.float64]
    truth_ignore: NDArray[np.bool_]
    truth_area: NDArray[np.float64]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    xywh: NDArray[np.float64]
    score: NDArray[np.float64]


class Records:
    """What the evaluators have in common: truth and detections, image by image; each image counts once.

    Args:
        class_names: the classes, by label.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._images: dict[int, tuple[NDArray[Any], ...]] = {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def update(self, truth: Truth, detections: Detections) -> None:
        """Adds an image; one whose id is known already is passed over (distributed samplers repeat some).

        Args:
            truth: its true objects (`centernet.data.Annotation`), original pixels.
            detections: what was found in it, original pixels.

        Raises:
            ValueError: a label is outside the classes, or the arrays of the truth differ in length.
        """
        image_id = int(truth.image_id)
        if image_id in self._images:
            return
        boxes = np.asarray(truth.boxes, np.float32).reshape(-1, 4)
        labels = np.asarray(truth.labels, np.int64)
        ignore = np.asarray(truth.ignore, np.bool_)
        areas = np.asarray(truth.areas, np.float32)
        lengths = {"boxes": len(boxes), "labels": len(labels), "ignore": len(ignore), "areas": len(areas)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"truth of image {image_id}: expected arrays of one length, got {lengths}")
        self._check_labels(f"truth of image {image_id}", np.where(ignore & (labels == -1), 0, labels))
        self._check_labels(f"detections in image {image_id}", detections.labels)
        # Copies: what is kept here must not be a view that holds a whole batch in memory.
        self._images[image_id] = (
            boxes.copy(),
            labels.copy(),
            ignore.copy(),
            areas.copy(),
            detections.bboxes.copy(),
            detections.labels.copy(),
            detections.scores.copy(),
        )

    def merge(self, other: Records) -> None:
        """Adds the images of another evaluator, of another process or with other figures, where they are not here yet.

        Raises:
            ValueError: the classes differ.
        """
        if other.class_names != self.class_names:
            raise ValueError(f"cannot merge results for the classes {other.class_names} into {self.class_names}")
        for image_id, arrays in other._images.items():
            self._images.setdefault(image_id, arrays)

    def reset(self) -> None:
        """Forgets all images."""
        self._images.clear()

    def table(self) -> Table:
        """All images as columns. A region to ignore for any class becomes one for each.

        Raises:
            ValueError: there is no image.
        """
        if not self._images:
            raise ValueError("nothing to evaluate: no image was given; is the split empty?")
        columns = list(zip(*(self._images[image_id] for image_id in sorted(self._images)), strict=True))
        boxes, labels, ignore, areas, found_boxes, found_labels, found_scores = map(np.concatenate, columns)
        images = _index_of_each_row(columns[1])

        everywhere = np.flatnonzero(labels == -1)
        classes = len(self.class_names)
        rows = np.concatenate([np.flatnonzero(labels != -1), np.repeat(everywhere, classes)])
        labels = np.concatenate([labels[labels != -1], np.tile(np.arange(classes), len(everywhere))])
        return Table(
            num_images=len(self._images),
            truth_image=images[rows],
            truth_label=labels,
            truth_xywh=xyxy_to_xywh(boxes[rows].astype(np.float64)),
            truth_ignore=ignore[rows],
            truth_area=areas[rows].astype(np.float64),
            image=_index_of_each_row(columns[5]),
            label=found_labels,
            xywh=xyxy_to_xywh(found_boxes.astype(np.float64)),
            score=found_scores.astype(np.float64),
        )

    def _check_labels(self, where: str, labels: NDArray[np.int64]) -> None:
        wrong = np.flatnonzero((labels < 0) | (labels >= len(self.class_names)))
        if len(wrong):
            raise ValueError(
                f"{where}: expected labels 0 … {len(self.class_names) - 1} ({len(self.class_names)} classes), "
                f"row {wrong[0]} is {labels[wrong[0]]}; do the model's classes agree with those of the data?"
            )


def _index_of_each_row(arrays: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Which of the arrays each row of their concatenation is from."""
    return np.repeat(np.arange(len(arrays), dtype=np.int64), [len(array) for array in arrays])
