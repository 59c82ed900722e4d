"""Sources of pseudo-labels: models, in one view of an image or several, and files of detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from os import PathLike
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.annotations.class_names import places_of
from centernet.annotations.found_boxes import FoundBoxes, Key, as_corners, plain_id, read_found
from centernet.annotations.image_names import CocoIds, ImageNames
from centernet.annotations.problems import DataError
from centernet.column import Column
from centernet.detections import SCORE_THRESHOLD, Detections
from centernet.images import IMAGE_SUFFIXES, ImageError, Preprocessing
from centernet.inference.detector import MATTERS, Detector
from centernet.inference.opening import Runtime, open_runtime
from centernet.inference.sources import ErrorHandler, Frame, Source, frames
from centernet.skeleton import Skeleton

FILES = (".json", ".json.gz", ".csv", ".odgt", ".txt")
"""Ends of the names of files of detections; no model file has one of these."""

Find = Callable[[Frame], Detections | None]
"""Returns what is known of a frame, None where nobody looked at it."""


@dataclass
class Teacher:
    """A model, or a file of detections.

    Attributes:
        name: for people.
        class_names: by label.
        views: the detectors that look at each image; none for a file.
        find: looks a frame up in a file; None for a model.
        score_threshold: from which score on its objects count, a number or numbers by class name.
        skeleton: of the keypoints that the model finds, which its views give where it has one alone; None without.
    """

    name: str
    class_names: Sequence[str]
    views: Sequence[Detector] = ()
    find: Find | None = None
    score_threshold: float | Mapping[str, float] = SCORE_THRESHOLD
    skeleton: Skeleton | None = None

    def threshold(self, name: str) -> float:
        """Return the threshold of one of its classes."""
        given = self.score_threshold
        return given.get(name, SCORE_THRESHOLD) if isinstance(given, Mapping) else given


def open_teacher(
    model: Any,
    *,
    classes: Sequence[str] | None = None,
    annotations: str | PathLike[str] | None = None,
    sizes: Sequence[tuple[int, int]] = (),
    flip: bool = False,
    least: float = MATTERS,
    **options: Any,
) -> Teacher:
    """Open a model, or detections in files.

    Args:
        model: what `Detector` takes, or a `Detector`, whose model is taken; or the path of detections, as
            `centernet.annotations.found_boxes` reads them.
        classes: find these alone, under any of their names; None for all.
        annotations: COCO's file in which the numbers of images and classes in detections have their names.
        sizes: (height, width) of the model's inputs, a view each; none for its own.
        flip: each view a second time, mirrored.
        least: score from which on objects are looked at.
        options: of `Detector`.

    Raises:
        FileNotFoundError, ValueError, TypeError, ImportError: as of `Detector`; a model without class names, or one
            whose input has one size alone; detections with numbers that have no names.
    """
    if isinstance(model, (str, PathLike)) and _is_file_of_detections(Path(model)):
        stored = _Stored(Path(model), annotations, least)
        return Teacher(str(model), stored.class_names, find=stored.find)
    name = str(model) if isinstance(model, (str, PathLike)) else type(model).__name__
    opening = {key: options.pop(key) for key in ("device", "threads") if key in options}
    runtime = model.runtime if isinstance(model, Detector) else open_runtime(model, **opening)
    names = runtime.class_names
    if not names:
        raise ValueError(f"{name}: knows no names of its classes; train or export it with model.class_names")
    chosen = None
    if classes is not None:
        chosen = [own for own, place in zip(names, places_of(names, classes), strict=True) if place >= 0]
    for size_hw in sizes:
        _check_size(runtime, name, size_hw)
    views = [(size_hw, mirrored) for size_hw in sizes or (None,) for mirrored in (False, True)[: 1 + flip]]
    own = Detector(runtime, **options).score_threshold
    if chosen == []:  # it has nothing to say
        return Teacher(name, names, score_threshold=own)
    options |= {"classes": chosen if chosen is None or len(chosen) < len(names) else None}
    posed = [column for column in getattr(runtime, "columns", ()) if column.skeleton is not None]
    kept = posed if len(views) == 1 else []
    detectors = [Detector(_View(runtime, *view, kept), score_threshold=least, **options) for view in views]
    skeleton = posed[0].skeleton if posed else None
    return Teacher(name, names, detectors, score_threshold=own, skeleton=skeleton)


def look(
    source: Source, teachers: Sequence[Teacher], on_error: ErrorHandler
) -> Iterator[tuple[Frame, list[Detections | None]]]:
    """Iterate over the frames of a source with what is found in each: one entry a view of each teacher, in order.

    None stands for a view that knows nothing of the frame. Two batches of images, and some more, are held at most.
    Frames that cannot be read are handed to `on_error` and left out.
    """
    detectors = [view for teacher in teachers for view in teacher.views]

    def joined(frame: Frame, of_views: Sequence[Detections]) -> Iterator[tuple[Frame, list[Detections | None]]]:
        try:
            yield frame, _in_order(teachers, frame, of_views)
        except DataError as error:  # a name that may mean several images of a file
            on_error(ImageError(f"{frame.location}: {error}"))

    if not detectors:
        for frame in frames(source, on_error=on_error):
            yield from joined(frame, [])
        return
    first, *others = detectors
    stream = first.stream(source, on_error=on_error)
    while batch := list(islice(stream, first.batch_size)):
        found = [[detections] for _, detections in batch]
        for other in others:
            _look_again(other, [frame for frame, _ in batch], found)
        for (frame, _), of_frame in zip(batch, found, strict=True):
            if len(of_frame) == len(detectors):
                yield from joined(frame, of_frame)
            else:
                on_error(ImageError(f"{frame.location}: cannot be worked on in all sizes; reduce it"))


def _look_again(detector: Detector, images: Sequence[Frame], found: Sequence[list[Detections]]) -> None:
    """Append what a further detector finds in images that are read already; nothing where it cannot be run on one."""
    places, pixels = [], []
    for place, frame in enumerate(images):
        try:
            pixels.append(frame.image)
            places.append(place)
        except ImageError:  # one that was read by windows, and is too large for the memory
            continue
    for frame, detections in detector.stream(Source("list", pixels), on_error=lambda error: None):
        found[places[frame.index]].append(detections)


def _in_order(teachers: Sequence[Teacher], frame: Frame, of_views: Sequence[Detections]) -> list[Detections | None]:
    """Return the findings of all teachers, those of files among those of the detectors."""
    left = iter(of_views)
    found: list[Detections | None] = []
    for teacher in teachers:
        found += [teacher.find(frame)] if teacher.find is not None else [next(left) for _ in teacher.views]
    return found


class _View:
    """A runtime that sees its inputs in another size, or mirrored, and gives boxes, and the columns that are asked for.

    Args:
        runtime: of the model.
        size_hw: (height, width) of the input; None for the model's own.
        mirrored: exchange left and right.
        columns: of the runtime; none of a mirrored view, which turns boxes alone.
    """

    def __init__(
        self, runtime: Runtime, size_hw: tuple[int, int] | None, mirrored: bool, columns: Sequence[Column] = ()
    ) -> None:
        self.runtime, self.size_hw, self.mirrored, self.columns = runtime, size_hw, mirrored, tuple(columns)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pickling looks for some before the runtime is there
            raise AttributeError(name)
        return getattr(self.runtime, name)

    @property
    def preprocessing(self) -> Preprocessing:
        own = self.runtime.preprocessing
        return own if self.size_hw is None else replace(own, size=self.size_hw)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.runtime.class_names

    def __call__(self, images: NDArray[np.uint8], num_detections: int, **options: Any) -> dict[str, NDArray[Any]]:
        inputs = np.ascontiguousarray(images[:, :, ::-1]) if self.mirrored else images
        outputs = self.runtime(inputs, num_detections, **options)
        boxes = outputs["bboxes"]
        if self.mirrored:
            x1, y1, x2, y2 = (boxes[..., i] for i in range(4))
            boxes = np.stack([images.shape[2] - x2, y1, images.shape[2] - x1, y2], axis=-1)
        others = ("labels", "scores", *(column.name for column in self.columns))
        return {"bboxes": boxes, **{name: outputs[name] for name in others}}


def _check_size(runtime: Runtime, name: str, size_hw: tuple[int, int]) -> None:
    """Raise a ValueError where a model does not run at a size, which trying tells of any runtime."""
    height, width = size_hw
    reason = "it takes images in their own size" if runtime.preprocessing.resize == "keep" else ""
    if not reason and size_hw != runtime.preprocessing.size:
        try:
            runtime(np.zeros((1, height, width, 3), np.uint8), 1)
        except Exception as error:  # each runtime has its own
            said = str(error).strip().splitlines() or [type(error).__name__]
            reason = f"its input has one size ({said[0]:.200})"
    if reason:
        hint = "leave --sizes (sizes=) out, or give the checkpoint or an ONNX file without --letterbox"
        raise ValueError(f"{name}: cannot be run at {height}×{width}, as {reason}; {hint}")


def _is_file_of_detections(path: Path) -> bool:
    """Return True for the name of a file of detections, or a folder that is none of a model."""
    return path.name.lower().endswith(FILES) or (path.is_dir() and not (path / "config.yaml").is_file())


@dataclass(eq=False)
class _Images:
    """The images that a file speaks of, to be found by their paths."""

    names: Sequence[str]  # with or without suffix
    full: ImageNames = field(init=False)
    stems: ImageNames = field(init=False)
    stem_places: list[int] = field(init=False)

    def __post_init__(self) -> None:
        is_file = [PurePath(name).suffix.lower() in IMAGE_SUFFIXES for name in self.names]
        self.full = ImageNames(self.names)
        self.stem_places = [place for place, suffix in enumerate(is_file) if not suffix]
        self.stems = ImageNames(self.names[place] for place in self.stem_places)

    def find(self, location: str) -> int:
        """Return the place of an image by its path; -1 where it is not there."""
        if (place := self.full.find(location)) >= 0:
            return place
        place = self.stems.find(str(PurePath(location).with_suffix(""))) if self.stem_places else -1
        return self.stem_places[place] if place >= 0 else -1


class _Stored:
    """Detections in files, by the paths of their images."""

    def __init__(self, path: Path, annotations: str | PathLike[str] | None, least: float) -> None:
        ids = None if annotations is None else CocoIds.read(Path(annotations))
        found = read_found(path, () if ids is None else list(ids.categories))
        if ((found.scores < 0) | (found.scores > 1)).any():
            worst = found.scores[np.argmax(np.abs(found.scores - 0.5))]
            raise DataError(f"{path}: a score is {worst:g}, expected 0..1")
        self._form, self._boxes, self._scores, self._least = found.form, found.boxes, found.scores, least
        name_of = _names_of_classes(found, ids, path)
        known = list(ids.categories) if ids is not None else [*found.class_names]
        self.class_names = tuple(dict.fromkeys([*known, *name_of.values()]))
        label_of = {name: label for label, name in enumerate(self.class_names)}
        self._labels = np.array([label_of[name_of[kind]] for kind in found.classes], np.int64)
        names = {} if ids is None else {plain_id(number): name for name, number in ids.images.items()}
        names |= {} if ids is None else {plain_id(number): name for number, name in ids.others.items()}
        keys = dict.fromkeys([*found.seen, *found.images, *names])
        places = {key: place for place, key in enumerate(dict.fromkeys(names.get(key, key) for key in keys))}
        self._images = _Images([str(key) for key in places])
        self._numbers = {key: place for key, place in places.items() if isinstance(key, int)}
        rows = np.array([places[names.get(key, key)] for key in found.images], np.int64)
        self._order = np.argsort(rows, kind="stable")
        self._starts = np.searchsorted(rows[self._order], np.arange(len(places) + 1))

    def find(self, frame: Frame) -> Detections | None:
        """Return the detections of a frame; None where the files do not speak of it."""
        place = self._images.find(frame.location)
        if place < 0 and (stem := PurePath(frame.location).stem).isdecimal():
            place = self._numbers.get(int(stem), -1)
        if place < 0:
            return None
        rows = self._order[self._starts[place] : self._starts[place + 1]]
        boxes = as_corners(self._boxes[rows], self._form, frame.size_hw)
        found = Detections(boxes, self._labels[rows], self._scores[rows], class_names=self.class_names)
        return found.filter(score_threshold=self._least)


def _names_of_classes(found: FoundBoxes, ids: CocoIds | None, path: Path) -> dict[Key, str]:
    """Return the name of each class that detections have; a DataError where a number has none."""
    kinds = list(dict.fromkeys(found.classes))
    numbers = [kind for kind in kinds if isinstance(kind, int)]
    names: dict[Key, str] = {kind: kind for kind in kinds if isinstance(kind, str)}
    if not numbers:
        return names
    if ids is None:
        hint = "give COCO's file of annotations that has them (--annotations FILE, annotations=)"
        raise DataError(f"{path}: its classes are numbers ({', '.join(map(str, numbers[:5]))} …) without names; {hint}")
    listed = list(ids.categories)
    numbered = {plain_id(number): name for name, number in ids.categories.items()}
    if found.first_class is not None:
        numbered = dict(enumerate(listed, start=found.first_class))
    if unknown := [number for number in numbers if number not in numbered]:
        known = ", ".join(map(str, list(numbered)[:10]))
        raise DataError(f"{path}: the class {unknown[0]} has no name in the annotations; they have {known} …")
    return names | {number: numbered[number] for number in numbers}
