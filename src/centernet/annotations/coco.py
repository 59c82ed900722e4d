"""COCO's JSON (https://cocodataset.org/#format-data): lists of images, annotations and categories in one file.

Boxes are ``[x, y, width, height]`` counted from 0. Crowd regions (``iscrowd``) and annotations with ``ignore`` become
ignore boxes. Masks and keypoints are passed over. Files are read entry by entry, as they may be larger than the memory.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..boxes import xyxy_to_xywh
from .json_stream import NotAnObject, read_lists
from .problems import DataError, Reports, UnknownKeys
from .rows import BoxRows, RowList
from .text import four_numbers

_EXPECTED = "expected an object with the lists images, annotations and categories"


class CocoImage(NamedTuple):
    """An entry of the list of images.

    Attributes:
        place: in the list.
        id: as in the file: a whole number, if all is well.
        name: the ``file_name``.
        height: as in the file.
        width: as in the file.
    """

    place: int
    id: Any
    name: str
    height: Any
    width: Any

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """(height, width) as stated; None where it is missing, no whole number or not positive."""
        height, width = self.height, self.width
        if not (isinstance(height, int) and isinstance(width, int) and 0 < height < 2**31 and 0 < width < 2**31):
            return None
        return height, width


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The contents of a file of annotations.

    Attributes:
        categories: ids by name, in the order of the ids.
        images: those with a name and an id, in the order of the file.
        rows: the annotations of these images and categories, but for `bad_boxes`: `images` are indices of the list,
            `labels` places among the categories, `places` those in the file's own list.
        bad_boxes: (index of the image, place, ``bbox`` as text) of annotations that have no four numbers.
    """

    categories: Mapping[str, int]
    images: Sequence[CocoImage]
    rows: BoxRows
    bad_boxes: Sequence[tuple[int, int, str]]
    _names: _Names

    def where(self, place: int) -> str:
        """Name an annotation by its place in the file's list and its id."""
        return f"annotations[{place}] (id {self._names.id_of(place)})"


def read_coco(path: Path, report: Reports) -> CocoFile:
    """Read a file of annotations.

    Args:
        path: of the file.
        report: where wrong entries go, which are left out.

    Raises:
        DataError: no such file, or no COCO JSON.
    """
    lists: dict[str, Any] = {}
    annotations = _Annotations()
    wrong_images: list[str] = []
    try:
        for key, place, entry in read_lists(path):
            if place is None:
                lists[key] = entry
                annotations = _Annotations() if key == "annotations" else annotations  # of two lists the last counts
            elif key == "annotations":
                annotations.add(place, entry)
            elif key != "images":
                lists[key].append(entry)
            elif _is_image(entry):
                size = entry.get("height"), entry.get("width")
                lists[key].append(CocoImage(place, entry["id"], entry["file_name"], *size))
            else:
                wrong_images.append(f"images[{place}] is {entry!r:.100}")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check `annotations`") from error
    except NotAnObject as error:
        kind = type(error.content).__name__
        got = "a list (the form of detection results, not of annotations)" if kind == "list" else kind
        raise DataError(f"{path}: {_EXPECTED}, got {got}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); is the file complete?") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(lists.get(key), list):
            raise DataError(f"{path}: {_EXPECTED}; {key!r} is missing or no list. Its keys are {', '.join(lists)}")
    categories = _categories(lists["categories"], path)
    rows, bad_boxes = annotations.resolve(lists["images"], categories, path, report)
    for text in wrong_images:
        report(path, "missing-image", f"{text}, expected an object with id and file_name; it is left out")
    return CocoFile(categories, lists["images"], rows, bad_boxes, annotations.names)


def _is_image(entry: Any) -> bool:
    """Return True if an entry of the list of images has a name and something to call it by."""
    return (
        isinstance(entry, Mapping)
        and isinstance(entry.get("file_name"), str)
        and entry["file_name"] != ""
        and isinstance(entry.get("id"), (int, str, float))
    )


def is_whole(value: Any) -> bool:
    """Return True for whole numbers that an int64 holds."""
    return isinstance(value, int) and abs(value) < 2**63


class _Names:
    """The ids of annotations, for messages: 8 bytes each where they are whole numbers."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._others: dict[int, Any] = {}

    def append(self, value: Any) -> None:
        known = type(value) is int and is_whole(value)
        if not known:
            self._others[len(self._numbers)] = value
        self._numbers.append(value if known else 0)

    def id_of(self, place: int) -> Any:
        return self._others.get(place, self._numbers[place])


class _Annotations:
    """The list of annotations, which may come before the images and categories that it speaks of."""

    def __init__(self) -> None:
        self.names = _Names()
        self._rows = RowList()
        self._keys = UnknownKeys(["iscrowd", "ignore", "area"])
        self._images: dict[Any, int] = {}  # a number for each id that occurs
        self._categories: dict[Any, int] = {}
        self._bad_boxes: dict[int, str] = {}
        self._no_objects: list[tuple[int, str]] = []

    def add(self, place: int, entry: Any) -> None:
        if not isinstance(entry, dict):
            self.names.append(None)
            self._no_objects.append((place, f"{entry!r:.100}"))
            return
        self._keys.look(entry, f"annotations[{place}]")
        self.names.append(entry.get("id"))
        box = four_numbers(entry.get("bbox"))
        if box is None:
            self._bad_boxes[place] = f"{entry.get('bbox')!r:.100}"
        x, y, width, height = box or (math.nan,) * 4
        area = entry.get("area")
        self._rows.add(
            _number(self._images, entry.get("image_id")),
            place,
            (x, y, x + width, y + height),
            _number(self._categories, entry.get("category_id")),
            ignore=bool(entry.get("iscrowd")) or bool(entry.get("ignore")),
            area=float(area) if isinstance(area, (int, float)) and 0 < area < 1e38 else math.nan,
        )

    def resolve(
        self, images: Sequence[CocoImage], categories: Mapping[str, int], path: Path, report: Reports
    ) -> tuple[BoxRows, list[tuple[int, int, str]]]:
        """Bring the annotations to their images and categories; see `CocoFile`."""
        index_of = {image.id: index for index, image in reversed(list(enumerate(images)))}  # the first of two counts
        label_of = {number: label for label, number in enumerate(categories.values())}
        rows = self._rows.rows()
        indices = np.array([index_of.get(key, -1) for key in self._images], dtype=np.int64)[rows.images]
        labels = np.array([label_of.get(key, -1) for key in self._categories], dtype=np.int64)[rows.labels]
        wrong = [
            (place, "bad-box", f"annotations[{place}] is {text}, expected an object")
            for place, text in self._no_objects
        ]
        image_ids, category_ids = list(self._images), list(self._categories)
        for row in np.flatnonzero((indices < 0) | (labels < 0)).tolist():
            place = int(rows.places[row])
            where = f"annotations[{place}] (id {self.names.id_of(place)})"
            if indices[row] < 0:
                text = f"{where}: no image has the id {image_ids[rows.images[row]]!r:.50}"
                wrong.append((place, "unknown-image", text))
            else:
                text = f"{where}: no category has the id {category_ids[rows.labels[row]]!r:.50}"
                wrong.append((place, "unknown-class", text))
        for _, kind, text in sorted(wrong):
            report(path, kind, f"{text}; it is left out")
        self._keys.report(path, report)
        used = (indices >= 0) & (labels >= 0)
        bad_boxes = []
        if self._bad_boxes:
            bad = np.isin(rows.places, list(self._bad_boxes))
            pairs = zip(indices[bad & used].tolist(), rows.places[bad & used].tolist(), strict=True)
            bad_boxes = [(index, place, self._bad_boxes[place]) for index, place in pairs]
            used &= ~bad
        return replace(rows.select(used), images=indices[used], labels=labels[used]), bad_boxes


def _number(numbers: dict[Any, int], value: Any) -> int:
    """The number of a value that may be anything that JSON has; unhashable values are all different."""
    return numbers.setdefault(_Unhashable(repr(value)) if isinstance(value, (list, dict)) else value, len(numbers))


class _Unhashable:
    """A list or object where a number should be."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _categories(entries: Sequence[Any], path: Path) -> dict[str, int]:
    """Category ids by name, in the order of the ids."""
    ids: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not is_whole(entry.get("id")) or not isinstance(entry.get("name"), str):
            raise DataError(f"{path}: categories[{number}] is {entry!r:.100}; expected an id (whole number) and a name")
        name = entry["name"].strip()
        if name in ids or entry["id"] in ids.values():
            raise DataError(f"{path}: categories[{number}]: the name {name!r} or the id {entry['id']} is there twice")
        ids[name] = entry["id"]
    if not ids:
        raise DataError(f"{path}: the list categories is empty; add one entry with id and name for each class")
    return dict(sorted(ids.items(), key=lambda item: item[1]))


def write_coco(
    folder: Path,
    split: str,
    names: Sequence[str],
    annotations: Iterable[Any],
    class_names: Sequence[str],
    *,
    category_ids: Sequence[int] | None = None,
) -> Path:
    """Write annotations_<split>.json; ignored boxes have iscrowd (which COCO's evaluation knows) and ignore set.

    Args:
        folder: which holds the images in ``images``.
        split: end of the file's name.
        names: of the images.
        annotations: of the images (`centernet.data.Annotation`), labels from 0; their image ids are kept.
        class_names: what the labels mean.
        category_ids: their numbers in the file; None counts from 1.

    Returns:
        The JSON file.
    """
    numbers = range(1, len(class_names) + 1) if category_ids is None else category_ids
    content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for name, truth in zip(names, annotations, strict=True):
        entry = {"id": truth.image_id, "file_name": name, "height": truth.height, "width": truth.width}
        content["images"].append(entry)
        columns = (xyxy_to_xywh(truth.boxes), truth.labels, truth.ignore, truth.areas)
        for box, label, ignore, area in zip(*(column.tolist() for column in columns), strict=True):
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": truth.image_id,
                    "category_id": numbers[label],
                    "bbox": [round(value, 3) for value in box],
                    "area": round(area, 3),
                    "iscrowd": int(ignore),
                    "ignore": int(ignore),
                }
            )
    content["categories"] = [{"id": n, "name": name} for n, name in zip(numbers, class_names, strict=True)]
    path = folder / f"annotations_{split}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
