"""Collecting truth and detections image by image: the base of the evaluators of detections, and of their results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from centernet.boxes import xywh_to_xyxy, xyxy_to_xywh
from centernet.detections import Detections

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Truth(Protocol):
    """The true objects of one image; `centernet.data.Annotation` is one.

    Some benchmarks also read ``height`` and ``width`` of the image in pixels (CrowdHuman) and ``details``, a mapping of
    names to columns of N numbers (KITTI: occlusion, truncation). They may be absent.

    Attributes:
        image_id: identifies the image within the data set.
        boxes: N×4 ``x1 y1 x2 y2``, original pixels.
        labels: N, class indices from 0. -1, allowed where `ignore` is set: any class.
        ignore: N bool, regions where nothing counts: crowds, difficult objects.
        areas: N, square pixels, which decide between small, medium and large (COCO: of the mask).
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


class ImageColumns(NamedTuple):
    """Truth and detections of one image; the boxes are in the form that `Collected` is told."""

    truth_boxes: NDArray[Any]
    truth_labels: Ints
    truth_ignore: Bools
    truth_areas: NDArray[Any]
    boxes: NDArray[Any]
    labels: Ints
    scores: NDArray[Any]
    size_hw: tuple[float, float] = (np.inf, np.inf)
    details: Mapping[str, NDArray[Any]] = {}


@dataclass(frozen=True)
class Collected:
    """Truth and detections of all images as columns, one row a box, image after image.

    Attributes:
        num_images: number of images, those without any box too.
        truth_image: N int64 index of the image, 0 … num_images - 1.
        truth_label: N int64; -1, where `truth_ignore` is set: any class.
        truth_boxes: N×4 float64 in `form`, original pixels.
        truth_ignore: N bool.
        truth_area: N float64, square pixels.
        image, label, boxes, score: the same of the M detections; score float64.
        form: of the boxes as they were given: another form would round, so that an IoU of exactly .5 might come to lie
            below the limit. ``xywh`` is that of COCO's files.
        sizes: num_images×2 float64, height and width; infinite where they are not known.
        details: columns of N float64 by name; 0 where an image did not have them.
    """

    num_images: int
    truth_image: Ints
    truth_label: Ints
    truth_boxes: Floats
    truth_ignore: Bools
    truth_area: Floats
    image: Ints
    label: Ints
    boxes: Floats
    score: Floats
    form: Literal["xyxy", "xywh"] = "xyxy"
    sizes: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    details: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, images: Sequence[ImageColumns]) -> Collected:
        """Join the columns of images, whose boxes are ``x1 y1 x2 y2``.

        Raises:
            ValueError: there is no image.
        """
        if not images:
            raise ValueError("nothing to evaluate: no image was given; is the split empty?")
        *columns, sizes, details = zip(*images, strict=True)
        truth_boxes, truth_labels, truth_ignore, areas, boxes, labels, scores = map(np.concatenate, columns)
        names = {name for columns in details for name in columns}
        return cls(
            num_images=len(images),
            truth_image=_index_of_each_row(columns[1]),
            truth_label=truth_labels,
            truth_boxes=truth_boxes.astype(np.float64),
            truth_ignore=truth_ignore,
            truth_area=areas.astype(np.float64),
            image=_index_of_each_row(columns[5]),
            label=labels,
            boxes=boxes.astype(np.float64),
            score=scores.astype(np.float64),
            sizes=np.array(sizes, np.float64),
            details={
                name: np.concatenate([i.details.get(name, np.zeros(len(i.truth_labels))) for i in images], dtype=float)
                for name in names
            },
        )

    def corners(self) -> tuple[Floats, Floats]:
        """Return the boxes of the truth and of the detections as ``x1 y1 x2 y2``."""
        both = self.truth_boxes, self.boxes
        return both if self.form == "xyxy" else (xywh_to_xyxy(both[0]), xywh_to_xyxy(both[1]))

    def xywh(self) -> tuple[Floats, Floats]:
        """Return the boxes of the truth and of the detections as ``x y width height``."""
        both = self.truth_boxes, self.boxes
        return both if self.form == "xywh" else (xyxy_to_xywh(both[0]), xyxy_to_xywh(both[1]))

    def with_a_region_for_each_class(self, num_classes: int) -> Collected:
        """Replace each region to ignore for any class by one for each; these rows come last."""
        everywhere = np.flatnonzero(self.truth_label == -1)
        own = np.flatnonzero(self.truth_label != -1)
        rows = np.concatenate([own, np.repeat(everywhere, num_classes)])
        return replace(
            self,
            truth_image=self.truth_image[rows],
            truth_label=np.concatenate([self.truth_label[own], np.tile(np.arange(num_classes), len(everywhere))]),
            truth_boxes=self.truth_boxes[rows],
            truth_ignore=self.truth_ignore[rows],
            truth_area=self.truth_area[rows],
            details={name: column[rows] for name, column in self.details.items()},
        )

    def count_objects(self, num_classes: int) -> Ints:
        """Return the number of true objects of each class that count."""
        return np.bincount(self.truth_label[~self.truth_ignore], minlength=num_classes)


class EvaluationResult(ABC):
    """Figures of an evaluation; `str()` of it is a table for people.

    Attributes:
        title: the benchmark, as a heading.
        stats: the figures by name.
    """

    title: ClassVar[str]
    stats: Mapping[str, float]

    def __str__(self) -> str:
        return self.table()

    @abstractmethod
    def table(self) -> str:
        """Return the figures as lines of text."""


class Evaluator(ABC):
    """Collects truth and detections, in original pixels, image by image, and computes the figures of a benchmark.

    All evaluators collect the same, so that one may take over what another has (`merge`). They can be pickled: several
    processes collect each a part of the images, and one of them merges the others' and computes. An image that was
    given twice counts once.

    Args:
        class_names: the classes, by label.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._images: dict[int, ImageColumns] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def update(self, truth: Truth, detections: Detections) -> None:
        """Add an image; one whose id is known already is passed over (distributed samplers repeat some).

        Args:
            truth: its true objects (`centernet.data.Annotation`), original pixels.
            detections: the objects found in it, original pixels.

        Raises:
            ValueError: a label is outside the classes, or the arrays of the truth differ in length.
        """
        image_id = int(truth.image_id)
        if image_id in self._images:
            return
        # Copies: views would hold a whole batch in memory.
        image = ImageColumns(
            np.array(truth.boxes, np.float32).reshape(-1, 4),
            np.array(truth.labels, np.int64),
            np.array(truth.ignore, np.bool_),
            np.array(truth.areas, np.float32),
            detections.bboxes.copy(),
            detections.labels.copy(),
            detections.scores.copy(),
            (getattr(truth, "height", np.inf), getattr(truth, "width", np.inf)),
            {name: np.array(column) for name, column in getattr(truth, "details", {}).items()},
        )
        columns = (*image[:4], *image.details.values())
        if len(set(map(len, columns))) > 1:
            lengths = dict(zip(("boxes", "labels", "ignore", "areas", *image.details), map(len, columns), strict=True))
            raise ValueError(f"truth of image {image_id}: expected arrays of one length, got {lengths}")
        labels = image.truth_labels
        self._check_labels(f"truth of image {image_id}", np.where(image.truth_ignore & (labels == -1), 0, labels))
        self._check_labels(f"detections in image {image_id}", image.labels)
        self._images[image_id] = image

    def merge(self, other: Evaluator) -> None:
        """Add the images of another evaluator, of another process or benchmark, where they are not here yet.

        Raises:
            ValueError: the classes differ.
        """
        if other.class_names != self.class_names:
            raise ValueError(f"cannot merge results for the classes {other.class_names} into {self.class_names}")
        for image_id, image in other._images.items():
            self._images.setdefault(image_id, image)

    def reset(self) -> None:
        """Forget all images."""
        self._images.clear()

    def collected(self) -> Collected:
        """Return all images, by rising id, as columns.

        Raises:
            ValueError: there was no image.
        """
        return Collected.of([self._images[image_id] for image_id in sorted(self._images)])

    @abstractmethod
    def compute(self) -> EvaluationResult:
        """Compute the figures of all images so far.

        Raises:
            ValueError: there was no image.
        """

    def _check_labels(self, where: str, labels: Ints) -> None:
        wrong = np.flatnonzero((labels < 0) | (labels >= len(self.class_names)))
        if len(wrong):
            raise ValueError(
                f"{where}: expected labels 0 … {len(self.class_names) - 1} ({len(self.class_names)} classes), "
                f"row {wrong[0]} is {labels[wrong[0]]}; do the model's classes agree with those of the data?"
            )


def text_table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Lay out rows of cells, headings first: names to the left, figures with three digits, a dash for -1."""

    def text(cell: object) -> str:
        return "–" if cell == -1 else f"{cell:.3f}" if isinstance(cell, float) else str(cell)

    texts = [[text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    shape = f"{{:<{widths[0]}}}" + "".join(f"{{:>{max(width, 7) + 1}}}" for width in widths[1:])
    return [shape.format(*row).rstrip() for row in texts]


def _index_of_each_row(arrays: Sequence[NDArray[Any]]) -> Ints:
    """Return which of the arrays each row of their concatenation is from."""
    return np.repeat(np.arange(len(arrays), dtype=np.int64), [len(array) for array in arrays])
