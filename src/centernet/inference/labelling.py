"""Pseudo-labels: a data set of unlabelled images, its boxes found by models.

Boxes that are sure become objects, uncertain ones regions to ignore, which train neither as objects nor as background.
Of many images those that most need a person can be chosen (`selecting`).
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from centernet import boxes as box_ops
from centernet.annotations.keypoints import KEYPOINTS, keypoint_column
from centernet.annotations.problems import DataError, check_option
from centernet.column import Column
from centernet.data.columns import Columns
from centernet.data.convert import ImageFiles, Target, check_new, convert
from centernet.data.dataset import DetectionDataset
from centernet.data.sample import Annotation
from centernet.detections import Detections
from centernet.images import ImageError
from centernet.inference.detector import MATTERS
from centernet.inference.fusion import FUSION_IOU
from centernet.inference.label_rules import TWO_CLASSES, Genuine, Rules, Thresholds
from centernet.inference.selecting import Chosen, Seen, Selection
from centernet.inference.sources import ErrorHandler, Frame, Source, SourceError, SourceLike, open_source
from centernet.inference.teachers import Teacher, look, open_teacher
from centernet.whole import write_json, write_text

RECORD = "labelling.json"
"""File of the data set that says how it was labelled: models, thresholds by class, counts."""
LIST = "selected.txt"
"""File of the data set that lists the images that were chosen, those first that need a person most."""
_BLOCK = 1000  # images whose annotations are put together at once

Split = Literal["train", "val", "test"]


@dataclass
class Labelled:
    """Record of what was labelled.

    Attributes:
        class_names: of the data set.
        files: the lists, JSON file or data.yaml that were written.
        images: how many the data set has.
        objects: objects by class name, those of `keep` included.
        ignored: regions to ignore.
        kept: boxes that are those of `keep`, and images that have some.
        skipped: images that could not be read, that no source knows or that are there twice.
        selected: the images that were chosen, in their order, and how many there were to choose from.
        notes: what else there is to know, for people.
    """

    class_names: Sequence[str] = ()
    files: Sequence[Path] = ()
    images: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    ignored: int = 0
    kept: tuple[int, int] = (0, 0)
    skipped: int = 0
    selected: tuple[Sequence[str], int] = ((), 0)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the counts in a line."""
        most = ", ".join(f"{number:,} {name}" for name, number in self.objects.most_common(10))
        more = f" and {len(self.objects) - 10} further classes" if len(self.objects) > 10 else ""
        total = self.objects.total()
        objects = f"{total:,} object{'s' * (total != 1)}" + (f" ({most}{more})" if self.objects else "")
        ignored = f"{self.ignored:,} region{'s' * (self.ignored != 1)} to ignore"
        return f"{self.images:,} image{'s' * (self.images != 1)}, {objects}, {ignored}, {self.skipped:,} skipped"


def label_images(
    images: SourceLike | Sequence[Source],
    models: Any,
    output: str | PathLike[str],
    *,
    to: Target = "coco",
    image_files: ImageFiles = "link",
    split: Split = "train",
    classes: Sequence[str] | None = None,
    threshold: Thresholds | None = None,
    ignore_threshold: Thresholds | None = None,
    keep: DetectionDataset | Sequence[DetectionDataset] = (),
    flip: bool = False,
    sizes: Sequence[int | tuple[int, int]] = (),
    weights: Sequence[float] | None = None,
    fusion_iou: float = FUSION_IOU,
    annotations: str | PathLike[str] | None = None,
    select: int | None = None,
    on_error: ErrorHandler | None = None,
    on_image: Callable[[], None] | None = None,
    **options: Any,
) -> Labelled:
    """Label images by models, and write them as a data set.

    Classes of different models are matched by their names, and by `centernet.annotations.class_names.SYNONYMS`. What
    several models, or several views of a model, find is fused (`fuse_boxes`); a model counts for the classes that it
    knows, and a file for the images that it speaks of. Keypoints are those of `keep`, and of a single model in one
    view, where they have the same names. After Ctrl-C what was done until then is written.

    Args:
        images: what `centernet.inference.open_source` takes, or several sources. Frames of videos are stored as JPEG.
        models: a model, or several: each what `Detector` takes, or the path of detections in files.
        output: a new or empty folder.
        to: format of the data set.
        image_files: symbolic links to the images, copies of them, or none.
        split: the one split that all the images become.
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
        select: make a data set of this many images alone, those that most need a person (`Selection`); images that
            `keep` has are not chosen again.
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
    check_option("split", split in get_args(Split), f"one of {', '.join(get_args(Split))}", repr(split))
    sources = _opened(images)
    moving = any(source.is_moving or len(source.files) < len(source.items) for source in sources)
    right = not (moving and image_files == "none")
    check_option("select", select is None or select > 0, "at least 1", select)
    check_option("image_files", right, "link or copy, as frames of videos are no files to refer to", repr(image_files))
    datasets = [keep] if isinstance(keep, DetectionDataset) else list(keep)
    given = [value for values in (threshold, ignore_threshold) for value in _values(values)]
    options |= {"sizes": [(size, size) if isinstance(size, int) else size for size in sizes], "flip": flip}
    options |= {"classes": classes, "annotations": annotations, "least": min([MATTERS, *(v / 2 for v in given)])}
    teachers = [open_teacher(model, **options) for model in (models if isinstance(models, (list, tuple)) else [models])]
    rules = Rules.of(teachers, datasets, classes, threshold, ignore_threshold, weights, fusion_iou)
    genuine = Genuine(datasets, rules.class_names, rules.skeleton)
    with ExitStack() as stack:
        store = None
        if moving:
            output.absolute().parent.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f"{output.name}-frames-")
            store, image_files = Path(stack.enter_context(folder)), "copy"
        fields = [] if rules.skeleton is None else [keypoint_column(rules.skeleton)]
        columns = _Collected(fields) if select is None else Selection(select, rules.threshold, partial(_forget, store))
        stopped = False
        try:
            for frame, found in _each_once(sources, teachers, skip):
                seen = _label(frame, found, rules, genuine, skip, store)
                try:
                    if seen is not None:
                        columns.add(seen)
                except ImageError as error:  # behind its header
                    skip(error)
                if on_image is not None:
                    on_image()
        except KeyboardInterrupt:
            stopped = True
        chosen = columns.choose() if isinstance(columns, Selection) else []
        if isinstance(columns, _Collected):
            parts = columns.parts()
        else:
            parts = [Columns.of((one.annotation for one in chosen), fields)]
        labelled = _numbered(parts, skip, genuine.images, stopped)
        dataset = DetectionDataset(rules.class_names, labelled, fields=fields)
        conversion = convert({split: dataset}, output, to=to, images=image_files)
    numbers = np.bincount(labelled.labels[~labelled.ignore], minlength=len(rules.class_names)).tolist()
    objects = Counter({name: number for name, number in zip(rules.class_names, numbers, strict=True) if number})
    notes = [*rules.notes, *skip.notes(), *conversion.losses]
    notes += [f"{output}: images are copies, as some are frames"] if moving else []
    result = Labelled(rules.class_names, conversion.files, len(labelled), objects, int(labelled.ignore.sum()))
    result.kept, result.skipped, result.notes = (genuine.boxes, genuine.images), skip.number, notes
    if isinstance(columns, Selection):
        result.selected = [one.location for one in chosen], columns.candidates
        lines = (one.replace("\n", "\\n").replace("\r", "\\r") for one in result.selected[0])
        write_text(output / LIST, "".join(f"{line}\n" for line in lines), errors="surrogateescape")
    how = {"models": [teacher.name for teacher in teachers], "flip": flip, "sizes": options["sizes"]}
    how |= {"weights": weights, "fusion_iou": fusion_iou, "keep": list(map(repr, datasets))}
    how |= {name: getattr(result, name) for name in ("images", "ignored", "kept", "skipped")}
    how |= {} if select is None else {"selected": _reasons(chosen, rules.class_names)}
    write_json(output / RECORD, how | {"classes": rules.described(objects)}, indent=1)
    if stopped:
        raise KeyboardInterrupt(f"{output} has what was labelled until then: {result}")
    return result


def _opened(images: SourceLike | Sequence[Source]) -> list[Source]:
    """Open sources that end, and may be read from their beginning."""
    several = isinstance(images, (list, tuple)) and any(isinstance(source, Source) for source in images)
    sources: list[Source] = list(images) if several else [open_source(images)]  # type: ignore[arg-type]
    if any(source.live or source.iterator is not None for source in sources):
        raise SourceError("a camera, a stream or a generator has no end: label images, folders, patterns or videos")
    return sources


class _Collected:
    """Annotations as columns, which take far less memory than one by one."""

    def __init__(self, fields: Sequence[Column]) -> None:
        self._parts, self._block, self._fields = list[Columns](), list[Annotation](), fields

    def add(self, seen: Seen) -> None:
        """Append an annotation."""
        self._block.append(seen.annotation)
        if len(self._block) == _BLOCK:
            self._parts.append(Columns.of(self._block, self._fields))
            self._block.clear()

    def parts(self) -> list[Columns]:
        """Return all of them."""
        return [*self._parts, Columns.of(self._block, self._fields)]


def _numbered(parts: Sequence[Columns], skip: _Skipped, labelled: int, stopped: bool) -> Columns:
    """Return all annotations in one, numbered from 1; without any it is an error."""
    columns = Columns.joined(parts)
    if not len(columns) and stopped:
        raise KeyboardInterrupt
    if not len(columns) and labelled:
        raise DataError(f"all {labelled} images are labelled already in `keep`: there is none left to select")
    if not len(columns):
        raise DataError(f"not one image could be labelled, {skip.number} were skipped; the first: {skip.first}")
    return replace(columns, image_ids=np.arange(1, len(columns) + 1, dtype=np.int64))


def _forget(store: Path | None, annotation: Annotation) -> None:
    """Remove the file of a frame of a video that was not chosen."""
    if store is not None and store in annotation.path.parents:
        annotation.path.unlink(missing_ok=True)


def _reasons(chosen: Sequence[Chosen], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return each image that was chosen with the reasons, for JSON."""
    names = [*class_names, "nothing"]
    return [
        {
            "image": one.location,
            "doubt": round(one.doubt, 4),
            "novelty": round(one.novelty, 4),
            "classes": [names[label] for label in one.classes],
        }
        for one in chosen
    ]


@dataclass
class _Skipped:
    """Counts images that are left out, and tells of each that cannot be read."""

    tell: ErrorHandler | None
    number: int = 0
    first: str = "none was given"
    unknown_images: list[str] = field(default_factory=list)

    def __call__(self, error: ImageError) -> None:
        self.first = self.first if self.number else str(error)
        self.number += 1
        if self.tell is not None:
            self.tell(error)
        else:
            warnings.warn(f"{error} (left out)", stacklevel=4)

    def unknown(self, location: str) -> None:
        """Count an image that nobody looked at; as they may be many, `notes` tells of them."""
        self.first = self.first if self.number else f"{location}: the files of detections do not speak of it"
        self.number += 1
        self.unknown_images.append(location)

    def notes(self) -> list[str]:
        if not self.unknown_images:
            return []
        some = ", ".join(self.unknown_images[:3]) + ", …" * (len(self.unknown_images) > 3)
        return [f"left out: {len(self.unknown_images):,} images that the files of detections do not speak of ({some})"]


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
    rules: Rules,
    genuine: Genuine,
    skip: _Skipped,
    store: Path | None,
) -> Seen | None:
    """Return the annotation of an image, and what was found; None where it is left out, which `skip` is told."""
    size_hw = frame.size_hw
    try:
        stated = genuine.find(frame.location, size_hw)
    except DataError as error:
        skip(ImageError(f"{frame.location}: {error}"))
        return None
    if stated is None and not any(part is not None for part in found):
        skip.unknown(frame.location)
        return None
    boxes, labels, scores, points = rules.find(found)
    boxes = box_ops.clip(boxes, size_hw)
    wanted = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
    wanted &= stated is None or ~np.isin(labels, stated.annotated)
    boxes, found_labels, scores = boxes[wanted], labels[wanted], scores[wanted]
    rows, ignore = rules.judge(boxes, found_labels, scores)
    boxes, labels, areas = boxes[rows], found_labels[rows], box_ops.area(boxes[rows])
    points = points[wanted][rows]
    points[ignore] = 0
    if stated is not None:
        ignore |= (box_ops.iou(boxes, stated.boxes[~stated.ignore]) > TWO_CLASSES).any(axis=1)
        boxes, labels = np.concatenate([stated.boxes, boxes]), np.concatenate([stated.labels, labels])
        ignore, areas = np.concatenate([stated.ignore, ignore]), np.concatenate([stated.areas, areas])
        points = np.concatenate([stated.keypoints, points])
    ids = np.full(len(labels), -1, np.int64)
    path = frame.path if frame.is_file else _stored(frame, store)
    assert path is not None
    data = {} if rules.skeleton is None else {KEYPOINTS: points}
    annotation = Annotation(path, 0, *size_hw, boxes.astype(np.float32), labels, ids, ignore, areas, data=data)
    drawn = None if stated is None else stated.labels[~stated.ignore]
    return Seen(frame, annotation, found_labels, scores, drawn)


def _stored(frame: Frame, folder: Path | None) -> Path:
    """Write a frame of a video, or an image of the memory, as JPEG."""
    assert folder is not None
    places = (folder / number / frame.name.rpartition("_")[0] for number in ("", *map(str, range(2, 1000))))
    path = next(path for place in places if not (path := place / f"{frame.name}.jpg").exists())
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame.image).save(path, quality=95, subsampling=0)
    return path


def _values(given: Thresholds | None) -> list[float]:
    return [] if given is None else list(given.values()) if isinstance(given, Mapping) else [given]
