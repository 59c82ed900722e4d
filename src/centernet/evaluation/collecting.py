"""Collecting truth and detections image by image: the base of the evaluators of detections, and of their results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from centernet.detections import Detections
from centernet.text import shown

if TYPE_CHECKING:
    from typing_extensions import Self

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Truth(Protocol):
    """The true objects of one image; `centernet.data.Annotation` is one.

    Some benchmarks also read ``height`` and ``width`` of the image, in pixels (CrowdHuman), and ``difficulty``, N
    levels from 0 on (KITTI); they may be absent.

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
    """Truth and detections of one image; the columns are those of `Collected`."""

    truth_boxes: NDArray[Any]
    truth_label: Ints
    truth_ignore: Bools
    truth_area: NDArray[Any]
    truth_difficulty: NDArray[Any]
    boxes: NDArray[Any]
    label: Ints
    score: NDArray[Any]
    size_hw: tuple[float, float] = (np.inf, np.inf)


@dataclass(frozen=True)
class Collected:
    """N true boxes and M detections of all images as columns, image after image."""

    num_images: int  # those without any box too
    truth_image: Ints  # N, 0 … num_images - 1
    truth_boxes: Floats  # N×4 x1 y1 x2 y2, original pixels
    truth_label: Ints  # N; -1, where truth_ignore is set: any class
    truth_ignore: Bools
    truth_area: Floats  # N, square pixels
    truth_difficulty: NDArray[Any]  # N, the benchmark's level
    image: Ints
    boxes: Floats
    label: Ints
    score: Floats
    sizes: Floats  # num_images×2, height and width; infinite where they are not known

    @classmethod
    def of(cls, images: Sequence[ImageColumns]) -> Collected:
        """Join the columns of images; no image at all is a ValueError."""
        if not images:
            raise ValueError("nothing to evaluate: no image was given; is the split empty?")
        *columns, sizes = zip(*images, strict=True)
        joined = dict(zip(ImageColumns._fields, map(np.concatenate, columns), strict=False))
        joined |= {name: joined[name].astype(np.float64) for name in ("truth_boxes", "truth_area", "boxes", "score")}
        numbers = np.arange(len(images))
        return cls(
            num_images=len(images),
            truth_image=np.repeat(numbers, [len(image.truth_label) for image in images]),
            image=np.repeat(numbers, [len(image.label) for image in images]),
            sizes=np.array(sizes, np.float64),
            **joined,
        )

    def with_a_region_for_each_class(self, num_classes: int) -> Collected:
        """Replace each region to ignore for any class by one for each class that was found in its image.

        These rows come last. One of another class would change nothing.
        """
        everywhere, own = np.flatnonzero(self.truth_label == -1), np.flatnonzero(self.truth_label != -1)
        image, label = np.divmod(np.unique(self.image * max(num_classes, 1) + self.label), max(num_classes, 1))
        first, end = (np.searchsorted(image, self.truth_image[everywhere], side) for side in ("left", "right"))
        numbers = end - first
        places = np.arange(numbers.sum()) + np.repeat(first - np.cumsum(numbers) + numbers, numbers)
        rows = np.concatenate([own, np.repeat(everywhere, numbers)])
        names = "truth_image", "truth_boxes", "truth_ignore", "truth_area", "truth_difficulty"
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in names}
        labels = np.concatenate([self.truth_label[own], label[places]])
        return replace(self, truth_label=labels, **columns)

    def count_objects(self, num_classes: int) -> Ints:
        """Return the number of true objects of each class that count."""
        return np.bincount(self.truth_label[~self.truth_ignore], minlength=num_classes)


class EvaluationResult(ABC):
    """Figures of an evaluation by name; `str()` of it is a table for people."""

    title: ClassVar[str]  # the benchmark
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
            np.array(getattr(truth, "difficulty", np.zeros(len(truth.labels))), np.int8),
            detections.bboxes.copy(),
            detections.labels.copy(),
            detections.scores.copy(),
            (getattr(truth, "height", np.inf), getattr(truth, "width", np.inf)),
        )
        lengths = dict(zip(("boxes", "labels", "ignore", "areas", "difficulty"), map(len, image[:5]), strict=True))
        if len(set(lengths.values())) > 1:
            raise ValueError(f"truth of image {image_id}: expected arrays of one length, got {lengths}")
        labels = image.truth_label
        self._check_labels(f"truth of image {image_id}", np.where(image.truth_ignore & (labels == -1), 0, labels))
        self._check_labels(f"detections in image {image_id}", image.label)
        self._images[image_id] = image

    @classmethod
    def of(cls, other: Evaluator) -> Self:
        """Return an evaluator of the images that another one, of another benchmark, has collected."""
        evaluator = cls(other.class_names)
        evaluator.merge(other)
        return evaluator

    def merge(self, other: Evaluator) -> None:
        """Add the images of another evaluator, of the same classes, where they are not here yet."""
        if other.class_names != self.class_names:
            raise ValueError(f"cannot merge results for the classes {other.class_names} into {self.class_names}")
        self._images = other._images | self._images

    def collected(self) -> Collected:
        """Return all images, by rising id, as columns."""
        return Collected.of([self._images[image_id] for image_id in sorted(self._images)])

    def image_ids(self) -> list[int]:
        """Return the ids of the images, in the order of `collected`."""
        return sorted(self._images)

    @abstractmethod
    def compute(self) -> EvaluationResult:
        """Compute the figures of all images so far; no image at all is a ValueError."""

    def _check_labels(self, where: str, labels: Ints) -> None:
        wrong = np.flatnonzero((labels < 0) | (labels >= len(self.class_names)))
        if len(wrong):
            expected = f"expected labels 0 … {len(self.class_names) - 1} ({len(self.class_names)} classes)"
            hint = "do the model's classes agree with those of the data?"
            raise ValueError(f"{where}: {expected}, row {wrong[0]} is {labels[wrong[0]]}; {hint}")


def text_table(rows: Iterable[Sequence[object]], least: int = 8) -> list[str]:
    """Lay out rows of cells, names to the left; floats get three digits; -1, a figure that does not exist, a dash."""

    def text(cell: object) -> str:
        return "–" if cell == -1 else f"{cell:.3f}" if isinstance(cell, float) else shown(cell)

    texts = [[text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    shape = f"{{:<{widths[0]}}}" + "".join(f"{{:>{max(width + 1, least)}}}" for width in widths[1:])
    return [shape.format(*row).rstrip() for row in texts]
