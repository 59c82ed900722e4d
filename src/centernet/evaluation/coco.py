"""COCO's twelve figures for boxes, over all classes and for each.

The matching is done by `hotcoco` (MIT), which agrees with COCO's own code to the last bit and takes and returns arrays.
Figures are fractions 0 … 1; -1 says that no true object counts, so there is nothing to find (COCO's convention).
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import hotcoco
import numpy as np
from numpy.typing import NDArray

from centernet.annotations.found_boxes import FoundBoxes, found_in_json, load_json
from centernet.annotations.image_names import ImageNames
from centernet.annotations.problems import DataWarning
from centernet.boxes import xyxy_to_xywh

from .collecting import Collected, EvaluationResult, Evaluator, text_table

# Name: (what is averaged, IoU limit, sizes, most detections per image and class), as places in the library's arrays:
# IoU .5, .55 … .95; sizes all, small (up to 32² pixels), medium, large (from 96²); 1, 10, 100 detections.
FIGURES: dict[str, tuple[str, int | slice, int, int]] = {
    "AP": ("precision", slice(None), 0, 2),
    "AP50": ("precision", 0, 0, 2),
    "AP75": ("precision", 5, 0, 2),
    "APs": ("precision", slice(None), 1, 2),
    "APm": ("precision", slice(None), 2, 2),
    "APl": ("precision", slice(None), 3, 2),
    "AR1": ("recall", slice(None), 0, 0),
    "AR10": ("recall", slice(None), 0, 1),
    "AR100": ("recall", slice(None), 0, 2),
    "ARs": ("recall", slice(None), 1, 2),
    "ARm": ("recall", slice(None), 2, 2),
    "ARl": ("recall", slice(None), 3, 2),
}


@dataclass(frozen=True)
class ClassResult:
    """The `FIGURES` of one class, with `objects` that count, and its average precision at IoU .50, .55 … .95."""

    name: str
    objects: int
    stats: Mapping[str, float]
    ap_by_iou: tuple[float, ...]

    @property
    def ap(self) -> float:
        """Average precision, the mean over the ten IoU limits."""
        return self.stats["AP"]


@dataclass(frozen=True)
class CocoResult(EvaluationResult):
    """COCO's figures, AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl, over all classes and of each by label."""

    title: ClassVar[str] = "COCO"

    stats: Mapping[str, float]
    per_class: tuple[ClassResult, ...]
    images: int
    objects: int
    detections: int

    def table(self) -> str:
        """Return the figures over all classes, then AP, AP50 and AR100 of each class, as lines of text."""
        names, values, shown = list(self.stats), list(self.stats.values()), ("AP", "AP50", "AR100")
        over_all = text_table([["", *names[:6]], ["", *values[:6]], ["", *names[6:]], ["", *values[6:]]])
        rows = [[c.name, c.objects, *(c.stats[name] for name in shown)] for c in self.per_class]
        counts = f"{self.images} images, {self.objects} objects, {self.detections} detections"
        return "\n".join([counts, "", *over_all, "", *text_table([["class", "objects", *shown], *rows])])


class CocoEvaluator(Evaluator):
    """Computes COCO's figures.

    Regions that the truth says to ignore are treated as COCO treats crowds. They are no objects that can be missed; and
    a detection of their class (of any class, where their label is -1) is no false positive if the share of it that lies
    in the region reaches the IoU limit. A detection that fits an object is given to the object first. Of each image,
    the 100 best detections of each class count.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from centernet import Detections
        >>> columns = {"boxes": np.array([[10, 10, 60, 50]]), "labels": np.array([1]), "areas": np.array([2000])}
        >>> truth = SimpleNamespace(image_id=7, ignore=np.array([False]), **columns)
        >>> evaluator = CocoEvaluator(["cat", "dog"])
        >>> evaluator.update(truth, Detections([[10, 10, 60, 49]], [1], [0.9]))
        >>> round(evaluator.compute().stats["AP"], 3)
        1.0
    """

    def compute(self) -> CocoResult:
        """Compute the twelve figures, over all classes and of each."""
        collected = self.collected().with_a_region_for_each_class(len(self.class_names))
        truth_boxes, boxes = xyxy_to_xywh(collected.truth_boxes), xyxy_to_xywh(collected.boxes)
        return _evaluate(replace(collected, truth_boxes=truth_boxes, boxes=boxes), self.class_names)


def evaluate_coco(
    truth: str | Path | Mapping[str, Any], detections: str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any]
) -> CocoResult:
    """Evaluate detections in COCO's result form against annotations in COCO's form, as pycocotools does.

    Args:
        truth: a JSON file, or what is in one: ``images``, ``annotations`` and ``categories``. As in pycocotools,
            ``iscrowd`` alone makes a region to ignore. An annotation without ``area`` gets that of its box.
        detections: a JSON file, or the list in it, of ``image_id``, ``category_id``, ``bbox`` (x y width height) and
            ``score``; it may be empty. Or the form of annotations, as `centernet detect` writes it, whose images and
            categories are matched with those of the truth by their names; classes that the truth doesn't have are left
            out, with a warning.

    Returns:
        Figures, with the classes in the order of the category ids.

    Raises:
        ValueError: an entry lacks a key or has a wrong value, or names an image or category that the truth lacks.
        OSError: a file cannot be read.
    """
    truth_name, dataset = _read(truth, "the annotations")
    found_name, found = _read(detections, "the detections")
    if not isinstance(dataset, Mapping) or not {"images", "annotations", "categories"} <= dataset.keys():
        raise ValueError(f"{truth_name}: expected COCO's form, an object with images, annotations and categories")
    if isinstance(found, Mapping):
        found = _by_name(found_in_json(found, found_name), dataset, found_name, truth_name)
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise ValueError(f"{found_name}: expected COCO's result form, a list of objects")
    objects, object_name = dataset["annotations"], f"{truth_name}: annotations"

    images = _places(_column(dataset["images"], "id", f"{truth_name}: images"))
    names = {category["id"]: str(category.get("name", category["id"])) for category in dataset["categories"]}
    categories = _places(_column(dataset["categories"], "id", f"{truth_name}: categories"))
    if not images or not categories:
        raise ValueError(f"{truth_name}: {len(images)} images and {len(categories)} categories: nothing to evaluate")

    boxes = _numbers(objects, "bbox", object_name, width=4)
    areas = [{"area": entry.get("area", box[2] * box[3])} for entry, box in zip(objects, boxes, strict=True)]
    collected = Collected(
        num_images=len(images),
        truth_image=_indices(objects, "image_id", images, object_name),
        truth_label=_indices(objects, "category_id", categories, object_name),
        truth_boxes=boxes,
        truth_ignore=_flags(objects, "iscrowd", object_name),
        truth_area=_numbers(areas, "area", object_name)[:, 0],
        truth_difficulty=np.zeros(len(boxes), np.int8),
        image=_indices(found, "image_id", images, found_name),
        label=_indices(found, "category_id", categories, found_name),
        boxes=_numbers(found, "bbox", found_name, width=4),
        score=_numbers(found, "score", found_name)[:, 0],
        sizes=np.full((len(images), 2), np.inf),
    )
    return _evaluate(collected, [names[category] for category in categories])


def _evaluate(collected: Collected, class_names: Sequence[str]) -> CocoResult:
    """Run the library for the classes that have objects; boxes are ``x y width height`` here."""
    objects = collected.count_objects(len(class_names))
    used = np.flatnonzero(objects) if objects.any() else np.arange(min(len(class_names), 1))
    evaluation = run_library(
        of_classes(collected, used, len(class_names)), [class_names[label] for label in used.tolist()]
    )
    evaluation.accumulate()
    arrays = evaluation.eval
    if arrays is None:
        raise RuntimeError("hotcoco gave no result")

    def stats(classes: slice) -> dict[str, float]:  # precision is 10 × 101 × C × 4 × 3, recall 10 × C × 4 × 3
        return {name: _mean(arrays[kind][iou, ..., classes, size, n]) for name, (kind, iou, size, n) in FIGURES.items()}

    results = [ClassResult(name, 0, dict.fromkeys(FIGURES, -1.0), (-1.0,) * 10) for name in class_names]
    for i, label in enumerate(used.tolist()):
        ap_by_iou = tuple(map(_mean, arrays["precision"][:, :, i, 0, 2]))
        results[label] = ClassResult(class_names[label], int(objects[label]), stats(slice(i, i + 1)), ap_by_iou)
    counts = collected.num_images, int(objects.sum()), len(collected.score)
    return CocoResult(stats(slice(None)), tuple(results), *counts)


def of_classes(collected: Collected, labels: NDArray[np.int64], num_classes: int) -> Collected:
    """Return the boxes of some classes alone, whose labels become their places among `labels`: the arrays of the
    library grow with the number of classes, a gigabyte for ten thousand."""
    place = np.full(num_classes, -1)
    place[labels] = np.arange(len(labels))
    own, found = place[collected.truth_label] >= 0, place[collected.label] >= 0
    truth = ("truth_image", "truth_boxes", "truth_ignore", "truth_area", "truth_difficulty")
    columns: dict[str, Any] = {name: getattr(collected, name)[own] for name in truth}
    columns |= {name: getattr(collected, name)[found] for name in ("image", "boxes", "score")}
    columns |= {"truth_label": place[collected.truth_label[own]], "label": place[collected.label[found]]}
    return replace(collected, **columns)


def run_library(collected: Collected, class_names: Sequence[str]) -> hotcoco.COCOeval:
    """Return the library's evaluation after its matching; its ids of images and categories are the indices plus 1, so
    that none is 0. The boxes of `collected` are ``x y width height``."""
    # As in COCO's files: to convert those of a file, to and fro, would round, so that an IoU of exactly .5 might come
    # to lie below the limit.
    images = [{"id": i + 1} for i in range(collected.num_images)]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(class_names)]
    truth = collected.truth_image + 1, collected.truth_label + 1, collected.truth_boxes
    area, crowd = collected.truth_area, collected.truth_ignore
    dataset = hotcoco.COCO.from_arrays(images, categories, *truth, area=area, iscrowd=crowd)
    rows = np.column_stack([collected.image + 1, collected.boxes, collected.score, collected.label + 1])
    evaluation = hotcoco.COCOeval(dataset, dataset.load_res(rows), "bbox")
    evaluation.evaluate()
    return evaluation


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not -1, which marks what has no object."""
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0


def _read(source: Any, what: str) -> tuple[str, Any]:
    """Return a name for messages, and the contents of a JSON file or what is given in its place."""
    return (str(source), load_json(Path(source))) if isinstance(source, str | Path) else (what, source)


def _by_name(found: FoundBoxes, dataset: Mapping[str, Any], where: str, truth: str) -> list[dict[str, Any]]:
    """Return the detections of a file that names images and classes as rows with the ids that the truth gives these."""
    images, categories = (
        dict(zip(_column(dataset[key], name, f"{truth}: {key}"), _column(dataset[key], "id", truth), strict=True))
        for key, name in (("images", "file_name"), ("categories", "name"))
    )
    ids, places = list(images.values()), ImageNames(images).find_all(dict.fromkeys(map(str, found.images)))
    unknown = [name for name, place in places.items() if place < 0]
    if unknown:
        text = f"{len(unknown)} images are not among those of {truth}, the first is {unknown[0]!r}"
        raise ValueError(f"{where}: {text}")
    others = Counter(kind for kind in found.classes if kind not in categories)
    if others:
        each = ", ".join(f"{name} {count}" for name, count in others.most_common(10))
        text = f"{others.total()} detections of classes that are not in {truth} are left out: {each}"
        warnings.warn(f"{where}: {text}", DataWarning, stacklevel=3)
    return [
        {"image_id": ids[places[str(image)]], "category_id": categories[kind], "bbox": box, "score": score}
        for image, kind, (*box, score) in zip(found.images, found.classes, found.rows, strict=True)
        if kind in categories
    ]


def _flags(entries: Sequence[Any], key: str, where: str) -> NDArray[np.bool_]:
    """Return N flags of 0 or 1, or the words for them; 0 where there is none."""
    values = [entry.get(key, 0) for entry in entries]
    known = {0: False, 1: True, "0": False, "1": True}
    for i, value in enumerate(values):
        if not isinstance(value, int | float | str) or value not in known:
            raise ValueError(f"{where}: {key}: entry {i}: expected 0 or 1, got {value!r:.100}")
    return np.array([known[value] for value in values], np.bool_)


def _column(entries: Sequence[Any], key: str, where: str) -> list[Any]:
    for i, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or key not in entry:
            raise ValueError(f"{where}: entry {i} has no key {key!r}: {entry!r:.200}")
    return [entry[key] for entry in entries]


def _places(ids: list[Any]) -> dict[Any, int]:
    """Return the place of each id among all, in their order."""
    return {id_: place for place, id_ in enumerate(sorted(set(ids), key=lambda id_: (isinstance(id_, str), id_)))}


def _indices(entries: Sequence[Any], key: str, places: Mapping[Any, int], where: str) -> NDArray[np.int64]:
    by_text = {str(id_): id_ for id_ in places}  # some programs write numbers as text
    ids = [by_text.get(str(id_), id_) for id_ in _column(entries, key, where)]
    unknown = [i for i, id_ in enumerate(ids) if id_ not in places]
    if unknown:
        known = ", ".join(map(repr, list(places)[:10])) + (" …" if len(places) > 10 else "")
        first = f"the first is entry {unknown[0]} with {ids[unknown[0]]!r}; listed are {known}"
        raise ValueError(f"{where}: {len(unknown)} entries have a {key} that the annotations do not list, {first}")
    return np.array([places[id_] for id_ in ids], np.int64)


def _numbers(entries: Sequence[Any], key: str, where: str, width: int = 1) -> NDArray[np.float64]:
    """Return N×width from N numbers, or N lists of so many."""
    values = _column(entries, key, where)
    for i, value in enumerate(values):
        row = value if isinstance(value, Sequence) else [value]
        if len(row) != width or not all(isinstance(number, int | float) and math.isfinite(number) for number in row):
            expected = "a finite number" if width == 1 else f"{width} finite numbers"
            raise ValueError(f"{where}: {key}: entry {i}: expected {expected}, got {value!r:.200}")
    return np.array(values, np.float64).reshape(len(values), width)
