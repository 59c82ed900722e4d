"""COCO's JSON (https://cocodataset.org/#format-data): lists of images, annotations and categories in one file.

Boxes are ``[x, y, width, height]`` counted from 0. Crowd regions (``iscrowd``) and annotations with ``ignore`` become
ignore boxes. Masks and keypoints are passed over. Files are read entry by entry, as they may be larger than the memory.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..boxes import xyxy_to_xywh
from .json_stream import read_lists
from .problems import DataError, Reports, UnknownKeys
from .rows import BoxRows, RowList
from .text import json_box


class CocoImage(NamedTuple):
    """An entry of the list of images: its place there, and what it says, whatever that is (but for a text as name)."""

    place: int
    id: Any
    name: str
    height: Any
    width: Any

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """(height, width) as stated; None where it is missing, no whole number or not positive."""
        size = self.height, self.width
        return size if all(isinstance(side, int) and 0 < side < 2**31 for side in size) else None


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The contents of a file of annotations.

    The `images` of the rows are indices of the list of images, their `labels` places among the categories, and their
    `places` those in the file's own list.
    """

    categories: Mapping[str, int]  # ids by name, in the order of the ids
    images: Sequence[CocoImage]  # those with a name and an id, in the order of the file
    rows: BoxRows
    unreadable: Mapping[int, str]  # by place: why a box is not four numbers
    where: Callable[[int], str]  # names an annotation, from its place


def read_coco(path: Path, report: Reports) -> CocoFile:
    """Read a file of annotations. Wrong entries are reported and left out; a file that is no COCO JSON is an error."""
    lists: dict[str, Any] = {}
    wrong_images: list[str] = []
    try:
        for key, place, entry in read_lists(path):
            if place is None:
                lists[key] = _Annotations() if (key, entry) == ("annotations", []) else entry
            elif key == "annotations":
                lists[key].add(place, entry)
            elif key != "images":
                lists[key].append(entry)
            elif _is_image(entry):
                size = entry.get("height"), entry.get("width")
                lists[key].append(CocoImage(place, entry["id"], entry["file_name"], *size))
            else:
                wrong_images.append(f"images[{place}] is {entry!r:.100}")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check `annotations`") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); is the file complete?") from error
    expected = f"{path}: expected an object with the lists images, annotations and categories"
    if not isinstance(whole := lists.get("", {}), dict):
        results = "a list (the form of detection results, not of annotations)"
        raise DataError(f"{expected}, got {results if isinstance(whole, list) else type(whole).__name__}")
    for key in ("images", "annotations", "categories"):
        if not isinstance(lists.get(key), (list, _Annotations)):
            raise DataError(f"{expected}; {key!r} is missing or no list. Its keys are {', '.join(lists)}")
    categories, annotations = _categories(lists["categories"], path), lists["annotations"]
    rows = annotations.resolve(lists["images"], categories, path, report)
    for text in wrong_images:
        report(path, "missing-image", f"{text}, expected an object with id and file_name; it is left out")
    return CocoFile(categories, lists["images"], rows, annotations.unreadable, annotations.where)


def _is_image(entry: Any) -> bool:
    """Return True if an entry of the list of images has a name and something to call it by."""
    name = entry.get("file_name") if isinstance(entry, dict) else None
    return isinstance(name, str) and name != "" and isinstance(entry.get("id"), (int, str, float))


def is_whole(value: Any) -> bool:
    """Return True for whole numbers that an int64 holds."""
    return isinstance(value, int) and abs(value) < 2**63


class _Annotations:
    """The list of annotations, which may come before the images and categories that it speaks of."""

    def __init__(self) -> None:
        self.unreadable: dict[int, str] = {}
        self._rows = RowList()
        self._keys = UnknownKeys(["iscrowd", "ignore", "area"])
        self._images: dict[Any, int] = {}  # a number for each id that occurs
        self._categories: dict[Any, int] = {}
        self._ids, self._odd_ids = array("q"), dict[int, Any]()  # of the annotations: 8 bytes each for whole numbers
        self._wrong: list[tuple[int, str, str]] = []

    def add(self, place: int, entry: Any) -> None:
        own_id = entry.get("id") if isinstance(entry, dict) else None
        if not (type(own_id) is int and is_whole(own_id)):
            self._odd_ids[place], own_id = own_id, 0
        self._ids.append(own_id)
        if not isinstance(entry, dict):
            self._wrong.append((place, "bad-box", f"annotations[{place}] is {entry!r:.100}, expected an object"))
            return
        self._keys.look(entry, f"annotations[{place}]")
        box = json_box(entry.get("bbox"))
        if box is None:
            self.unreadable[place] = f"bbox is {entry.get('bbox')!r:.100}, expected four numbers"
        area = entry.get("area")
        area = float(area) if isinstance(area, (int, float)) and 0 < area < 1e38 else math.nan
        image, label = _number(self._images, entry.get("image_id")), _number(self._categories, entry.get("category_id"))
        ignore = bool(entry.get("iscrowd") or entry.get("ignore"))
        self._rows.add(image, place, box or (math.nan,) * 4, label, ignore=ignore, area=area)

    def where(self, place: int) -> str:
        return f"annotations[{place}] (id {self._odd_ids.get(place, self._ids[place])})"

    def resolve(self, images: list[CocoImage], categories: Mapping[str, int], path: Path, report: Reports) -> BoxRows:
        """Bring the annotations to their images and categories; see `CocoFile`."""
        index_of = {image.id: index for index, image in reversed(list(enumerate(images)))}  # the first of two counts
        label_of = {number: label for label, number in enumerate(categories.values())}
        rows = self._rows.rows()
        indices = np.array([index_of.get(key, -1) for key in self._images], dtype=np.int64)[rows.images]
        labels = np.array([label_of.get(key, -1) for key in self._categories], dtype=np.int64)[rows.labels]
        used = (indices >= 0) & (labels >= 0)
        image_ids, category_ids = list(self._images), list(self._categories)
        for row in np.flatnonzero(~used).tolist():
            kind, what, key = "unknown-class", "category", category_ids[rows.labels[row]]
            if indices[row] < 0:
                kind, what, key = "unknown-image", "image", image_ids[rows.images[row]]
            place, text = int(rows.places[row]), key[0] if isinstance(key, tuple) else repr(key)
            self._wrong.append((place, kind, f"{self.where(place)}: no {what} has the id {text:.50}"))
        for _, kind, text in sorted(self._wrong):
            report(path, kind, f"{text}; it is left out")
        self._keys.report(path, report)
        return replace(rows.select(used), images=indices[used], labels=labels[used])


def _number(numbers: dict[Any, int], value: Any) -> int:
    """The number of a value that may be anything that JSON has; of lists and objects the text is what counts."""
    return numbers.setdefault((repr(value),) if isinstance(value, (list, dict)) else value, len(numbers))


def _categories(entries: Sequence[Any], path: Path) -> dict[str, int]:
    """Category ids by name, in the order of the ids."""
    ids: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not is_whole(entry.get("id")) or not isinstance(entry.get("name"), str):
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

    The folder holds the images of these names in ``images``; `annotations` are theirs (`centernet.data.Annotation`).
    Image ids are kept. Categories are numbered from 1 unless their ids are given.
    """
    numbers = range(1, len(class_names) + 1) if category_ids is None else category_ids
    images, entries = [], list[dict[str, Any]]()
    for name, truth in zip(names, annotations, strict=True):
        images.append({"id": truth.image_id, "file_name": name, "height": truth.height, "width": truth.width})
        columns = (xyxy_to_xywh(truth.boxes), truth.labels, truth.ignore.astype(int), truth.areas)
        for box, label, ignore, area in zip(*(column.tolist() for column in columns), strict=True):
            entry = {"id": len(entries) + 1, "image_id": truth.image_id, "category_id": numbers[label]}
            entry |= {"bbox": [round(value, 3) for value in box], "area": round(area, 3)}
            entries.append(entry | {"iscrowd": ignore, "ignore": ignore})
    categories = [{"id": number, "name": name} for number, name in zip(numbers, class_names, strict=True)]
    path = folder / f"annotations_{split}.json"
    content = {"images": images, "annotations": entries, "categories": categories}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
