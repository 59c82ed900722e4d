"""Pseudo-labels: a data set of unlabelled images, its boxes found by models.

Boxes that are sure become objects, uncertain ones regions to ignore, which train neither as objects nor as background.
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from centernet import boxes as box_ops
from centernet.annotations.class_names import joined_names, places_of
from centernet.annotations.image_names import ImageNames
from centernet.annotations.problems import DataError, check_option, with_nearest
from centernet.data.columns import Columns
from centernet.data.convert import ImageFiles, Target, check_new, convert
from centernet.data.dataset import DetectionDataset
from centernet.data.sample import Annotation, Bools, Floats, Ints, Shares
from centernet.detections import OTHER, Detections
from centernet.images import ImageError
from centernet.inference.detector import MATTERS
from centernet.inference.fusion import FUSION_IOU, fuse_boxes
from centernet.inference.sources import ErrorHandler, Frame, Source, SourceError, SourceLike, open_source
from centernet.inference.teachers import Teacher, look, open_teacher

SAME_OBJECT = 0.5
"""Overlap beyond which an uncertain box is of an object of its class that is labelled."""
TWO_CLASSES = 0.9
"""Overlap beyond which boxes of two classes are one object, whose better class counts; the other is uncertain."""
_BLOCK = 1000  # images whose annotations are put together at once

Thresholds = float | Mapping[str, float]


@dataclass
class Labelled:
    """What was labelled.

    Attributes:
        class_names: of the data set.
        files: the lists, JSON file or data.yaml that were written.
        images: how many the data set has.
        objects: objects by class name, those of `keep` included.
        ignored: regions to ignore.
        kept: boxes that are those of `keep`, and images that have some.
        skipped: images that could not be read, that no source knows or that are there twice.
        notes: what else there is to know, for people.
    """

    class_names: Sequence[str] = ()
    files: Sequence[Path] = ()
    images: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    ignored: int = 0
    kept: tuple[int, int] = (0, 0)
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the counts in a line."""
        most = ", ".join(f"{number:,} {name}" for name, number in self.objects.most_common(10))
        more = f" and {len(self.objects) - 10} further classes" if len(self.objects) > 10 else ""
        objects = f"{self.objects.total():,} objects" + (f" ({most}{more})" if self.objects else "")
        return f"{self.images:,} images, {objects}, {self.ignored:,} regions to ignore, {self.skipped:,} images skipped"


def label_images(
    images: SourceLike | Sequence[Source],
    models: Any,
    output: str | PathLike[str],
    *,
    to: Target = "coco",
    image_files: ImageFiles = "link",
    split: str = "train",
    classes: Sequence[str] | None = None,
    threshold: Thresholds | None = None,
    ignore_threshold: Thresholds | None = None,
    keep: DetectionDataset | Sequence[DetectionDataset] = (),
    flip: bool = False,
    sizes: Sequence[int | tuple[int, int]] = (),
    weights: Sequence[float] | None = None,
    fusion_iou: float = FUSION_IOU,
    annotations: str | PathLike[str] | None = None,
    on_error: ErrorHandler | None = None,
    on_image: Callable[[], None] | None = None,
    **options: Any,
) -> Labelled:
    """Label images by models, and write them as a data set.

    Classes of different models are matched by their names, and by `centernet.annotations.class_names.SYNONYMS`. What
    several models, or several views of a model, find is fused (`fuse_boxes`); a model counts for the classes that it
    knows, and a file for the images that it speaks of. After Ctrl-C what was done until then is written.

    Args:
        images: what `centernet.inference.open_source` takes, or several sources. Frames of videos are stored as JPEG.
        models: a model, or several: each what `Detector` takes, or the path of detections in files.
        output: a new or empty folder.
        to: format of the data set.
        image_files: symbolic links to the images, copies of them, or none.
        split: name of the one split that the images become. None is set aside for validation.
        classes: names of the classes to label, in this order; default: all that the models and `keep` know.
        threshold: score from which on a box is an object: a number, or numbers by class name with ``other`` for the
            rest; default: the first model's own that knows the class (by class where it is calibrated), else 0.3.
        ignore_threshold: score from which on a box below the threshold is a region to ignore, as `threshold`; default:
            half of the threshold. At the threshold or above there are no such regions.
        keep: data sets with boxes of some of the images, found by their paths. Their boxes stay, and of the classes
            that they annotate no model adds any to their images.
        flip: look at each image mirrored, too.
        sizes: sides, or (height, width), of the input that models run at, each a view; default: the model's own size.
        weights: of the models, one number each; default: 1.
        fusion_iou: overlap (IoU) beyond which boxes of several models or views are of one object.
        annotations: COCO's file with the names of images and classes that detections in files have numbers for.
        on_error: called with the error of each image that is left out; default: a warning.
        on_image: called after each image.
        options: of `Detector`: num_detections, batch_size, tile, tile_overlap, max_memory, device, threads.

    Raises:
        DataError: a folder that isn't empty, classes that nobody knows, or no image that can be labelled.
        FileNotFoundError, ValueError, TypeError, ImportError: as of `Detector` and `open_source`.
        KeyboardInterrupt: after the data set of what was done is written.
    """
    output, skip = Path(output), _Skipped(on_error)
    check_new(output)
    check_option("split", re.fullmatch(r"\w[\w.-]*", split) is not None, "a name such as train", repr(split))
    several = isinstance(images, Sequence) and all(isinstance(source, Source) for source in images) and len(images)
    sources: list[Source] = list(images) if several else [open_source(images)]  # type: ignore[arg-type]
    moving = any(source.is_moving or len(source.files) < len(source.items) for source in sources)
    if any(source.live or source.iterator is not None for source in sources):
        raise SourceError("a camera, a stream and a generator have no end: label images, folders, patterns or videos")
    if moving and image_files == "none":
        raise DataError("image_files: expected link or copy, as frames of videos are no files to refer to; got 'none'")
    datasets = [keep] if isinstance(keep, DetectionDataset) else list(keep)
    given = [value for values in (threshold, ignore_threshold) for value in _values(values)]
    least = min([MATTERS, *(value / 2 for value in given)])
    options |= {"sizes": [(size, size) if isinstance(size, int) else size for size in sizes], "flip": flip}
    options |= {"classes": classes, "annotations": annotations, "least": least}
    teachers = [open_teacher(model, **options) for model in (models if isinstance(models, (list, tuple)) else [models])]
    rules = _Rules.of(teachers, datasets, classes, threshold, ignore_threshold, weights, fusion_iou)
    genuine = _Genuine(datasets, rules.class_names)
    result = Labelled(rules.class_names, notes=rules.notes)
    columns, done, stopped = list[Columns](), list[Annotation](), False
    with ExitStack() as stack:
        store = None
        if moving:
            output.absolute().parent.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f"{output.name}-frames-")
            store, image_files = Path(stack.enter_context(folder)), "copy"
        try:
            for frame, found in _each_once(sources, teachers, skip):
                if (annotation := _label(frame, found, rules, genuine, skip, store)) is not None:
                    done.append(annotation)
                if len(done) == _BLOCK:
                    columns.append(Columns.of(done))
                    done.clear()
                if on_image is not None:
                    on_image()
        except KeyboardInterrupt:
            if not columns and not done:
                raise
            stopped = True
        columns += [Columns.of(done)] if done else []
        if not columns:
            raise DataError(f"not one image could be labelled, {skip.number} were skipped; the first: {skip.first}")
        joined = Columns.joined(columns)
        dataset = DetectionDataset(rules.class_names, _numbered(joined))
        conversion = convert({split: dataset}, output, to=to, images=image_files)
    objects = np.bincount(joined.labels[~joined.ignore], minlength=len(rules.class_names))
    result.objects = Counter({name: n for name, n in zip(rules.class_names, objects.tolist(), strict=True) if n})
    result.files, result.images, result.ignored = conversion.files, len(joined), int(joined.ignore.sum())
    result.kept, result.skipped = (genuine.boxes, genuine.images), skip.number
    result.notes += conversion.losses + ([f"{output}: images are copies, as some are frames"] if moving else [])
    if stopped:
        raise KeyboardInterrupt(f"{output} has what was labelled until then: {result}")
    return result


@dataclass
class _Skipped:
    """Counts images that are left out, and tells of each."""

    tell: ErrorHandler | None
    number: int = 0
    first: str = "none was given"

    def __call__(self, error: ImageError) -> None:
        self.first = self.first if self.number else str(error)
        self.number += 1
        if self.tell is not None:
            self.tell(error)
        else:
            warnings.warn(f"{error} (left out)", stacklevel=4)


@dataclass
class _Rules:
    """What becomes of findings: L classes, S views of all teachers."""

    class_names: Sequence[str]
    labels: Sequence[Ints]  # of each view: the data set's label, or -1, of each of its own
    weights: Shares  # S×L
    threshold: Shares  # L
    ignore_threshold: Shares  # L
    iou: float
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
    ) -> _Rules:
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
            rows += [factor * knows] * views
            for name, label in zip(teacher.class_names, places.tolist(), strict=True):
                if label >= 0 and np.isnan(own[label]):
                    own[label] = teacher.threshold(name)
        sure = _by_class("threshold", threshold, names, own)
        unsure = _by_class("ignore_threshold", ignore_threshold, names, sure / 2)
        table = np.array(rows, np.float64).reshape(-1, len(names))
        return cls(names, labels, table, sure, unsure, iou, _notes(teachers, datasets, names))

    def find(self, found: Sequence[Detections | None]) -> tuple[Floats, Ints, Floats]:
        """Return what all views of an image found as boxes N×4, labels and scores, best first."""
        present = [view for view, detections in enumerate(found) if detections is not None]
        parts = [found[view] for view in present]
        boxes = np.concatenate([np.zeros((0, 4), np.float32), *(part.bboxes for part in parts if part is not None)])
        scores = np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts if part is not None)])
        labels = np.concatenate(
            [np.zeros(0, np.int64), *(self.labels[view][found[view].labels] for view in present)]  # type: ignore[union-attr]
        )
        views = np.repeat(np.arange(len(parts)), [len(part) for part in parts if part is not None])
        rows = np.flatnonzero(labels >= 0)
        if len(present) > 1:
            of_views = (boxes[rows], scores[rows], labels[rows], views[rows], self.weights[present])
            boxes, scores, labels = fuse_boxes(*of_views, iou_threshold=self.iou)
            return boxes, labels, scores
        return boxes[rows], labels[rows], scores[rows]

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


class _Genuine:
    """The boxes of data sets that are labelled already, by the paths of their images."""

    def __init__(self, datasets: Sequence[DetectionDataset], class_names: Sequence[str]) -> None:
        self._datasets = datasets
        self._starts = np.cumsum([0, *map(len, datasets)])
        paths = (str(data.path(index)) for data in datasets for index in range(len(data)))
        self._names = ImageNames(paths)
        self._labels = [np.array([*places_of(data.class_names, class_names), -1], np.int64) for data in datasets]
        self.boxes = self.images = 0

    def find(self, location: str) -> tuple[Annotation, Ints, Ints] | None:
        """Return an image's annotation, the labels of its boxes, and those of the classes that are annotated in it.

        None for an image that is not there; a DataError where several fit.
        """
        place = self._names.find(location)
        if place < 0:
            return None
        part = int(np.searchsorted(self._starts, place, side="right")) - 1
        annotation = self._datasets[part].annotation(place - int(self._starts[part]))
        new = self._labels[part]
        wanted = (new[annotation.labels] >= 0) | (annotation.labels < 0)  # -1: a region to ignore for any class
        return annotation.select(wanted), new[annotation.labels[wanted]], new[new >= 0]


def _each_once(
    sources: Sequence[Source], teachers: Sequence[Teacher], skip: _Skipped
) -> Iterator[tuple[Frame, list[Detections | None]]]:
    """Iterate over the frames of all sources with what is found; a file that is there twice comes once."""
    seen = set[str]()
    for source in sources:
        try:
            for frame, found in look(source, teachers, skip):
                path = os.path.abspath(frame.location)
                if frame.is_file and path in seen:
                    skip(ImageError(f"{frame.location}: is given twice"))
                    continue
                if frame.is_file:
                    seen.add(path)
                yield frame, found
        except SourceError as error:  # a video that breaks off
            skip(ImageError(str(error)))


def _label(
    frame: Frame,
    found: Sequence[Detections | None],
    rules: _Rules,
    genuine: _Genuine,
    skip: _Skipped,
    store: Path | None,
) -> Annotation | None:
    """Return the annotation of an image; None where it is left out, which `skip` is told."""
    try:
        stated = genuine.find(frame.location)
    except DataError as error:
        skip(ImageError(f"{frame.location}: {error}"))
        return None
    if stated is None and not any(part is not None for part in found):
        skip(ImageError(f"{frame.location}: the files of detections do not speak of it"))
        return None
    height, width = frame.size_hw
    boxes, labels, scores = rules.find(found)
    boxes = box_ops.clip(boxes, (height, width))
    rows, ignore = rules.judge(boxes, labels, scores)
    large = (boxes[rows, 2:] - boxes[rows, :2] >= 1).all(axis=1)
    boxes, labels, ignore = boxes[rows[large]], labels[rows[large]], ignore[large]
    areas: Floats = box_ops.area(boxes)
    if stated is not None:
        truth, true_labels, annotated = stated
        true_boxes = box_ops.clip(truth.boxes, (height, width))  # the image may be another copy
        here, new = (true_boxes[:, 2:] > true_boxes[:, :2]).all(axis=1), ~np.isin(labels, annotated)
        ignore |= (box_ops.iou(boxes, true_boxes[~truth.ignore]) > TWO_CLASSES).any(axis=1)
        boxes, labels, ignore, areas = (
            np.concatenate([of_truth[here], of_models[new]])
            for of_truth, of_models in (
                (true_boxes, boxes), (true_labels, labels), (truth.ignore, ignore), (truth.areas, areas)
            )
        )  # fmt: skip
        genuine.boxes, genuine.images = genuine.boxes + int(here.sum()), genuine.images + 1
    ids = np.full(len(labels), -1, np.int64)
    path = frame.path if frame.is_file else _stored(frame, store)
    assert path is not None
    return Annotation(path, 0, height, width, boxes.astype(np.float32), labels, ids, ignore, areas)


def _stored(frame: Frame, folder: Path | None) -> Path:
    """Write a frame of a video, or an image of the memory, as JPEG."""
    assert folder is not None
    places = (folder / number / frame.name.rpartition("_")[0] for number in ("", *map(str, range(2, 1000))))
    path = next(path for place in places if not (path := place / f"{frame.name}.jpg").exists())
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame.image).save(path, quality=95, subsampling=0)
    return path


def _numbered(columns: Columns) -> Columns:
    columns.image_ids[:] = np.arange(1, len(columns) + 1)
    return columns


def _values(given: Thresholds | None) -> list[float]:
    return [] if given is None else list(given.values()) if isinstance(given, Mapping) else [given]


def _by_class(key: str, given: Thresholds | None, names: Sequence[str], own: Shares) -> Shares:
    """Return a threshold for each class: those given, else its own."""
    asked = dict(given) if isinstance(given, Mapping) else {} if given is None else {OTHER: given}
    if wrong := [value for value in asked.values() if not 0 <= value <= 1]:
        raise DataError(f"{key}: expected 0..1, got {wrong[0]}")
    values = np.where(np.isnan(own), 1.0, own) if OTHER not in asked else np.full(len(names), asked.pop(OTHER))
    asked.pop(OTHER, None)
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
        missing = [name for place, name in enumerate(names) if place not in places_of(teacher.class_names, names)]
        some = ", ".join(missing[:10]) + f" and {len(missing) - 10} more" * (len(missing) > 10)
        notes += [f"{teacher.name}: does not know {some}"] if missing else []
    return notes
