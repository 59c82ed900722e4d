"""The images with most errors, of all kinds and of each, with their boxes; the frames of changes of identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from centernet.boxes import xyxy_to_xywh
from centernet.data import DetectionDataset
from centernet.data.report_html import jpeg_source
from centernet.data.sample import Pixels
from centernet.evaluation.errors import BOTH, CLASS, DOUBLED, IGNORED, KINDS, MISSED, NOTHING, PLACE, RIGHT, Errors
from centernet.images import ImageError
from centernet.inference.validation import Validation
from centernet.report.diagnosis import KIND_NAMES, above

_WORST, _OF_A_KIND, _CHANGES = 8, 4, 6
_WIDTH = 420


class Box(NamedTuple):
    """A box on a picture, in pixels of the image; `kind` is a name of `KINDS`, or "true"."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    text: str


class Picture(NamedTuple):
    """An image for the page."""

    source: str  # of an <img>
    width: int
    height: int
    boxes: list[Box]
    caption: str


class Worst(NamedTuple):
    """Pictures of the worst images, those of each kind of error by its name, and what of them JSON holds."""

    pictures: list[Picture]
    by_kind: dict[str, list[Picture]]
    rows: list[dict[str, Any]]


def worst_images(validation: Validation, threshold: float) -> Worst:
    """Find and draw the images with most errors; an image that cannot be read is in the rows alone."""
    names, dataset = validation.evaluator.class_names, validation.dataset
    collected = above(validation.evaluator.collected(), threshold)
    errors = Errors.of(collected, len(names))
    table = errors.by_image()
    ids = validation.evaluator.image_ids()
    place_of = {} if dataset is None else places(dataset)
    total = table[:, [CLASS, PLACE, BOTH, DOUBLED, NOTHING, MISSED]].sum(axis=1)
    order = np.argsort(-total, kind="stable")[: 3 * _WORST]
    rows, pictures = [], list[Picture]()
    drawn: dict[int, Picture | None] = {}

    def picture(image: int) -> Picture | None:
        if image not in drawn:
            index = place_of.get(ids[image])
            drawn[image] = None if dataset is None or index is None else _picture(errors, names, dataset, index, image)
        return drawn[image]

    for image in order[total[order] > 0].tolist():
        index = place_of.get(ids[image])
        counts = {KINDS[kind]: int(table[image, kind]) for kind in range(len(KINDS)) if table[image, kind]}
        path = str(dataset.path(index)) if dataset is not None and index is not None else str(ids[image])
        rows.append({"image": path, "errors": int(total[image]), **counts})
        if len(pictures) < _WORST and (shown := picture(image)) is not None:
            pictures.append(shown)
    by_kind = {}
    for kind, name in enumerate(KINDS):
        if name in KIND_NAMES:
            most = np.argsort(-table[:, kind], kind="stable")[:_OF_A_KIND]
            shown_ones = [picture(image) for image in most[table[most, kind] > 0].tolist()]
            by_kind[name] = [one for one in shown_ones if one is not None]
    return Worst(pictures, by_kind, rows)


def places(dataset: DetectionDataset) -> dict[int, int]:
    """Return the place of each image in a data set by its id."""
    return {image_id: index for index, image_id in enumerate(dataset.columns.image_ids.tolist())}


def changes_of_identity(validation: Validation, switches: Sequence[Mapping[str, Any]]) -> list[tuple[Picture, Picture]]:
    """Draw the frames before and after some changes of identity."""
    dataset, pairs = validation.dataset, list[tuple[Picture, Picture]]()
    if dataset is None:
        return pairs
    step = max(1, len(switches) // _CHANGES)
    for one in switches[::step][:_CHANGES]:
        shown = []
        for index, box, frame in zip(one["indices"], one["boxes"], (one["before"], one["after"]), strict=True):
            with suppress(ImageError):
                image = dataset.image(index).read()[0]
                caption = f"{one['sequence']}, frame {frame + 1}"
                boxes = [_box(box, "Miss", one["class"])]
                shown.append(_reduced(image, boxes, caption))
        if len(shown) == 2:
            pairs.append((shown[0], shown[1]))
    return pairs


def pair_picture(
    dataset: DetectionDataset, index: int, boxes: Sequence[tuple[Sequence[float], str, str]], caption: str
) -> Picture | None:
    """Draw boxes (x1 y1 x2 y2, kind, text) on an image; None where it cannot be read."""
    with suppress(ImageError):
        image = dataset.image(index).read()[0]
        shown = [_box(corners, kind, text) for corners, kind, text in boxes]
        return _reduced(image, shown, caption)
    return None


def _picture(errors: Errors, names: Sequence[str], dataset: DetectionDataset, index: int, image: int) -> Picture | None:
    """Draw the truth and the detections of an image by their kinds."""
    collected, boxes = errors.collected, list[Box]()
    for row in np.flatnonzero(collected.truth_image == image).tolist():
        kind = int(errors.truth[row])
        if kind == RIGHT:
            continue  # its detection is drawn
        name = names[collected.truth_label[row]]
        text = f"{name}, missed" if kind == MISSED else f"{name}, to be ignored" if kind == IGNORED else f"true: {name}"
        label = KINDS[kind] if kind in (MISSED, IGNORED) else "true"
        boxes.append(_box(collected.truth_boxes[row], label, text))
    for row in np.flatnonzero(collected.image == image).tolist():
        found = KINDS[int(errors.found[row])]
        text = f"{names[collected.label[row]]} {collected.score[row]:.2f}"
        if found in KIND_NAMES:
            text += f", {KIND_NAMES[found]}"
        if (meant := int(errors.meant[row])) >= 0:
            text += f": {names[collected.truth_label[meant]]} (IoU {errors.overlap[row]:.2f})"
        boxes.append(_box(collected.boxes[row], found, text))
    kinds = [box.kind for box in boxes]
    counts = [f"{kinds.count(name)} {words}" for name, words in KIND_NAMES.items() if name in kinds]
    with suppress(ImageError):
        return _reduced(dataset.image(index).read()[0], boxes, f"{dataset.path(index).name}: {', '.join(counts)}")
    return None


def _reduced(image: Pixels, boxes: list[Box], caption: str) -> Picture:
    return Picture(jpeg_source(image, _WIDTH), image.shape[1], image.shape[0], boxes, caption)


def _box(corners: Any, kind: str, text: str) -> Box:
    x, y, width, height = (round(float(value), 1) for value in xyxy_to_xywh(np.array([corners], np.float64))[0])
    return Box(x, y, width, height, kind, text)
