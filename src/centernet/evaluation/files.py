"""Figures of detections in files, against a data set whose images and classes they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np

from centernet.annotations.found_boxes import Form, FoundBoxes, Key, ScoreColumn, as_corners, plain_id, read_found
from centernet.annotations.image_names import CocoIds, ImageNames
from centernet.annotations.keypoints import KEYPOINTS, keypoint_column
from centernet.annotations.problems import DataError, with_nearest
from centernet.boxes import xyxy_to_xywh
from centernet.detections import Detections

from .coco import CocoEvaluator, CocoResult, evaluate_coco
from .collecting import Floats, Ints
from .figures import ValidationResult
from .keypoints import KeypointEvaluator


class TruthSet(Protocol):
    """The truth about N images; a `centernet.data.DetectionDataset` is one."""

    @property
    def class_names(self) -> Sequence[str]: ...
    @property
    def benchmark(self) -> str | None: ...
    def __len__(self) -> int: ...
    def annotation(self, index: int) -> Any: ...
    def path(self, index: int) -> Path: ...


@dataclass(frozen=True)
class FilesResult:
    """The figures of detections in files.

    Attributes:
        figures: all of them.
        kind: of the files.
        counts: `detections` that were evaluated, `unknown_images` and `unknown_classes` (detections that were left out
            for them), `images_without_detections`.
        notes: how images and classes were found, and what was left out, as lines for people.
    """

    figures: ValidationResult
    kind: str
    counts: Mapping[str, int]
    notes: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON: figures over all classes and of each, counts and notes."""
        classes = {one.name: {"objects": one.objects, **one.stats} for one in self.figures.coco.per_class}
        for other in self.figures.voc.per_class:
            classes[other.name] |= {"AP_11point": other.ap_11point, "AP_allpoint": other.ap_allpoint}
        counts = {"images": self.figures.coco.images, "objects": self.figures.coco.objects, **self.counts}
        return {"figures": self.figures.stats, "classes": classes, "counts": counts, "notes": list(self.notes)}


def evaluate_files(
    truth: TruthSet,
    detections: str | PathLike[str],
    *,
    annotations: str | PathLike[str] | None = None,
    score_column: ScoreColumn = "last",
) -> FilesResult:
    """Evaluate detections in files: COCO's and Pascal VOC's figures, and those of the truth's own benchmark.

    Images are matched by their names and classes by theirs. Where the files have numbers alone, images are COCO's ids
    or the numbers that their names are, and classes COCO's ids or places among the truth's classes.

    Args:
        truth: the data set.
        detections: a file or a folder, see `centernet.annotations.found_boxes`.
        annotations: COCO's file that the truth was read from. Its ids are then the numbers of images and categories,
            and COCO's figures those of pycocotools for these two files: of flags it reads `iscrowd` alone.
        score_column: of YOLO's text files: behind the box (`last`), or behind the class (`second`).

    Raises:
        ValueError: files that are no detections, names that may mean several images, or not one of the detections is
            of an image and a class of the truth.
    """
    path, names = Path(detections), list(truth.class_names)
    found = read_found(path, names, score_column=score_column)
    ids = None if annotations is None else CocoIds.read(Path(annotations))
    paths = [str(truth.path(index)) for index in range(len(truth))]
    image_ids = [] if ids is None else _ids_of(paths, ids)
    notes: list[str] = []
    image = _numbers(found.images, _match_images(found, paths, ids, image_ids, notes))
    label = _numbers(found.classes, _match_classes(found, names, ids, notes))
    keep = (image >= 0) & (label >= 0)
    counts = {
        "detections": int(keep.sum()),
        "unknown_images": int((image < 0).sum()),
        "unknown_classes": int(((image >= 0) & (label < 0)).sum()),
        "images_without_detections": len(truth) - len(np.unique(image[keep])),
    }
    notes += _left_out(found, image, label, names)
    if len(found) and not counts["detections"]:
        raise DataError("\n  ".join([f"{path}: none of its {len(found)} detections can be evaluated", *notes]))
    notes.append(f"{counts['images_without_detections']} of {len(truth)} images have no detections")
    image, label, scores = image[keep], label[keep], found.scores[keep]
    evaluator = CocoEvaluator(names)
    poses, points = _poses(truth, found, names, notes), None
    if poses is not None:
        points = np.array(found.keypoints, np.float32).reshape(len(found), -1, 3)[keep]
    corners = _collect(evaluator, truth, image, label, found.boxes[keep], scores, found.form, poses, points)
    coco = None
    if annotations is not None and ids is not None:
        sides = found.boxes[keep] if found.form == "sides" else xyxy_to_xywh(corners)
        rows = zip(image.tolist(), label.tolist(), sides.tolist(), scores.tolist(), strict=True)
        named = [(image_ids[i], ids.categories.get(names[kind]), *row) for i, kind, *row in rows]
        coco = _as_pycocotools(Path(annotations), ids, named, notes)
    figures = ValidationResult.of(evaluator, truth.benchmark, coco=coco, keypoints=poses)
    return FilesResult(figures, found.kind, counts, notes)


def _as_pycocotools(
    annotations: Path, ids: CocoIds, rows: Sequence[tuple[Any, ...]], notes: list[str]
) -> CocoResult | None:
    """Return COCO's figures of rows (image id, category id, box, score) as pycocotools has them, else None, which is
    said: where it would take the annotations for something else than the truth."""
    if ids.others:
        notes.append(f"{len(ids.others)} files are there under two ids: they count once; for pycocotools they are two")
        return None
    keys = ("image_id", "category_id", "bbox", "score")
    try:
        result = evaluate_coco(annotations, [dict(zip(keys, row, strict=True)) for row in rows])
    except ValueError as error:  # such as boxes that are those of masks
        notes.append(f"COCO's figures are those of validation, as pycocotools cannot read the annotations: {error}")
        return None
    if ids.ignored:
        text = "annotations say `ignore` without `iscrowd`: COCO's figures count them as objects, as pycocotools does"
        notes.append(f"{ids.ignored} {text}; Pascal VOC's here, and `centernet validate`, do not")
    return result


def _collect(
    evaluator: CocoEvaluator,
    truth: TruthSet,
    image: Ints,
    label: Ints,
    boxes: Floats,
    scores: Floats,
    form: Form,
    poses: KeypointEvaluator | None,
    points: Any,
) -> Floats:
    """Give an evaluator all images with their detections. Returns the boxes as ``x1 y1 x2 y2`` in pixels."""
    order = np.argsort(image, kind="stable")
    starts = np.searchsorted(image[order], np.arange(len(truth) + 1))
    corners = np.zeros_like(boxes)
    for index in range(len(truth)):
        rows = order[starts[index] : starts[index + 1]]
        one = truth.annotation(index)
        corners[rows] = as_corners(boxes[rows], form, (one.height, one.width))
        evaluator.update(one, Detections(corners[rows], label[rows], scores[rows]))
        if poses is not None:
            column = keypoint_column(poses.skeleton)
            data = {column.name: points[rows]}
            poses.update(one, Detections(corners[rows], label[rows], scores[rows], columns=[column], data=data))
    return corners


def _poses(truth: TruthSet, found: FoundBoxes, names: Sequence[str], notes: list[str]) -> KeypointEvaluator | None:
    """Return an evaluator of keypoints where truth and files have them; where they differ in number that is said."""
    skeleton = next((field.skeleton for field in getattr(truth, "fields", ()) if field.name == KEYPOINTS), None)
    if skeleton is None or not found.keypoints:
        return None
    if len(found.keypoints[0]) != 3 * len(skeleton):
        text = f"the detections have {len(found.keypoints[0]) // 3} keypoints, the truth {len(skeleton)}"
        notes.append(f"{text}: there are no figures for them")
        return None
    return KeypointEvaluator(names, skeleton)


def _numbers(keys: Sequence[Key], place_of: Mapping[Key, int]) -> Ints:
    return np.array([place_of.get(key, -1) for key in keys], dtype=np.int64)


def _ids_of(paths: Sequence[str], ids: CocoIds) -> list[Any]:
    """Return COCO's id of each image."""
    listed = list(ids.images.values())
    places = ImageNames(ids.images).find_all(paths)
    return [listed[places[path]] if places[path] >= 0 else None for path in paths]


def _match_images(
    found: FoundBoxes, paths: Sequence[str], ids: CocoIds | None, image_ids: Sequence[Any], notes: list[str]
) -> dict[Key, int]:
    """Return the place of each image that the files speak of; those that the truth doesn't have are left out."""
    keys = list(dict.fromkeys([*found.seen, *found.images]))
    by_id = {plain_id(number): place for place, number in enumerate(image_ids) if number is not None}
    if ids is not None:
        firsts = {plain_id(other): plain_id(ids.images[name]) for other, name in ids.others.items()}
        by_id |= {other: by_id[first] for other, first in firsts.items() if first in by_id}
    by_stem: dict[int, list[int]] = {}
    for place, path in enumerate(paths):
        if (stem := PurePath(path).stem).isdecimal():
            by_stem.setdefault(int(stem), []).append(place)
    places = {key: by_id[key] for key in keys if key in by_id}
    numbered = {key: by_stem[key] for key in keys if isinstance(key, int) and key in by_stem}
    if len(numbered) > sum(isinstance(key, int) for key in places):
        if several := [places for places in numbered.values() if len(places) > 1]:
            one, other, *_ = several[0]
            raise DataError(f"the image {PurePath(paths[one]).stem} may be {paths[one]} or {paths[other]}")
        places |= {key: numbered[key][0] for key in numbered}
        notes.append("the numbers of images are taken as their names, not as ids")
    names = [key for key in keys if isinstance(key, str) and key not in places]
    return places | {name: place for name, place in ImageNames(paths).find_all(names).items() if place >= 0}


def _match_classes(found: FoundBoxes, names: Sequence[str], ids: CocoIds | None, notes: list[str]) -> dict[Key, int]:
    """Return the label of each class that the files speak of; those that the truth doesn't have are left out."""
    kinds = list(dict.fromkeys(found.classes))
    labels: dict[Key, int] = {name: label for label, name in enumerate(names)}
    folded = Counter(name.casefold() for name in names)
    spelt = {name.casefold(): label for label, name in enumerate(names) if folded[name.casefold()] == 1}
    for kind in kinds:
        if isinstance(kind, str) and kind not in labels and kind.casefold() in spelt:
            labels[kind] = spelt[kind.casefold()]
            notes.append(f"the class {kind!r} is taken as {names[labels[kind]]!r}")
    numbers = sorted(kind for kind in kinds if isinstance(kind, int))
    if not numbers:
        return labels
    if found.first_class is None and ids is not None:
        known = {plain_id(ids.categories[name]): label for label, name in enumerate(names) if name in ids.categories}
        if numbers[0] == 0 and 0 not in known:
            text = f"the ids of the annotations are {_some([*map(str, known)], 10)}"
            raise DataError(f"the detections have the category_id 0, but {text}; do they count classes from 0?")
        return {**labels, **known}
    first = found.first_class if found.first_class is not None else int(numbers[0] != 0)
    if first == 0 and found.first_class is None and numbers[-1] == len(names):
        raise DataError(f"the detections have the classes 0 and {len(names)}, but the truth has {len(names)} classes")
    shown = _some([f"{number} {name}" for number, name in enumerate(names, start=first)], 10)
    notes.append(f"classes are numbers, taken in the order of the truth's: {shown}")
    return {**labels, **{number: label for label, number in enumerate(range(first, first + len(names)))}}


def _left_out(found: FoundBoxes, image: Ints, label: Ints, names: Sequence[str]) -> list[str]:
    """Say how many detections are of images and classes that the truth doesn't have."""
    images = Counter(str(found.images[row]) for row in np.flatnonzero(image < 0).tolist())
    classes = Counter(str(found.classes[row]) for row in np.flatnonzero((image >= 0) & (label < 0)).tolist())
    notes = []
    if images:
        text = f"{images.total()} detections in {len(images)} images that the truth does not have"
        notes.append(f"left out: {text}: {_some(images, 5)}")
    if classes:
        text = f"{classes.total()} detections of {len(classes)} classes that the truth does not have"
        each = [f"{with_nearest([name], names)} {count}" for name, count in classes.most_common(10)]
        some = ", ".join(each) + ", …" * (len(classes) > len(each))
        notes.append(f"left out: {text}: {some}; its classes are {_some(names, 20)}")
    return notes


def _some(names: Collection[str], most: int) -> str:
    return ", ".join([*names][:most]) + ", …" * (len(names) > most)
