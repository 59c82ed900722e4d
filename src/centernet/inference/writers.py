"""Writers of detections and tracks in one file: COCO-style JSON, CSV, MOTChallenge's text.

Writers keep no frame in memory. An error or Ctrl-C finishes them too, with what was written until then.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from centernet.annotations.image_names import CocoIds, ImageNames
from centernet.annotations.mot import result_rows
from centernet.annotations.problems import DataError
from centernet.detections import Column, Detections
from centernet.inference.guard import Inputs
from centernet.inference.sources import Frame
from centernet.text import csv_cell, writable
from centernet.whole import Growing

if TYPE_CHECKING:
    from typing_extensions import Self


VERSION = "1.0"
"""Version of the JSON file: a field that changes raises the number before the point, a new one that behind it."""
FIELDS = {
    "images.id": "number of the image, from 1 in the order of the run, or that of the file of --annotations",
    "images.file_name": "path in its folder, or as it was given; clip_000012 for frame 12, counted from 0, of clip.mp4",
    "images.time": "seconds since the video began; only where a frame has a time",
    "annotations.category_id": "class: an id of categories",
    "annotations.bbox": "x y width height in pixels of the upright image, from its upper left corner",
    "annotations.score": "confidence, 0..1",
    "annotations.area": "width times height",
    "annotations.iscrowd": "always 0",
}
"""Meanings of the fields of the JSON file, by name."""


class Writer(Protocol):
    """Anything that frames and their detections can be handed to, one by one."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def write(self, frame: Frame, detections: Detections) -> None:
        """Add a frame."""

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where a file of this writer is one of the inputs. Called before anything is written."""

    def summary(self) -> str:
        """Return the path and how much was written, for a person."""


def counted(number: int, noun: str) -> str:
    """Return "1 row", "2 rows" or "2 identities"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


class _DatasetIds:
    """The ids that a file of annotations gives to images and classes.

    Images are found by their names, classes by theirs, or by their places among the categories where no names are
    known. Objects of other classes are counted in `left_out`.
    """

    def __init__(self, path: Path, ids: CocoIds, class_names: Sequence[str]) -> None:
        self.left_out = Counter[str]()
        self._images, self._names = list(ids.images.values()), ImageNames(ids.images)
        names, numbers = class_names or tuple(ids.categories), ids.categories
        self.categories = {label: numbers[name] for label, name in enumerate(names) if name in numbers}
        if not self.categories:
            text = f"the model's classes are {', '.join(names)}, the annotations' {', '.join(numbers)}"
            raise DataError(f"{path}: no class to write: {text}")

    def check(self, names: Sequence[str]) -> None:
        """Raise a DataError that names the images that are not in the annotations."""
        places = self._names.find_all(names)
        unknown = [name for name in names if places[name] < 0]
        if unknown:
            some = f"{', '.join(unknown[:10])}{', …' * (len(unknown) > 10)}"
            raise DataError(f"{len(unknown)} of {len(names)} images are not in the annotations: {some}")

    def rows(self, frame: Frame, detections: Detections) -> tuple[Any, list[dict[str, Any]]]:
        """Return the image's id and its rows; an image that is not in the annotations is a DataError."""
        place = self._names.find(frame.location)
        if place < 0:
            raise DataError(f"{frame.location}: the image is not in the annotations")
        known = np.array([label in self.categories for label in detections.labels.tolist()], np.bool_)
        self.left_out.update(detections[~known].names)
        return self._images[place], detections[known].to_coco(self._images[place], self.categories)


class CocoWriter:
    """Writes one JSON file in COCO's form: images, categories, and annotations with a score and further columns.

    Rows are those of `Detections.to_coco`; image ids count from 1. `info` has the version of the form, and what its
    fields are. Rows go to two files beside `path` as they come, and become `path` at the end in one step: a file under
    that name is always whole.

    Args:
        path: of the JSON file; its folder is made if missing.
        class_names: by label; empty where none are known, and then categories are the labels that occur.
        ids: of a file of annotations, in the place of our own: pycocotools' `loadRes` takes `annotations` beside it.
            Objects of classes that it doesn't have are counted in `left_out`.

    Raises:
        DataError: not one of the classes is in the annotations.
    """

    def __init__(
        self, path: str | os.PathLike[str], class_names: Sequence[str] = (), *, ids: CocoIds | None = None
    ) -> None:
        self.path, self.class_names = Path(path), tuple(class_names)
        self._given = None if ids is None else _DatasetIds(self.path, ids, class_names)
        self._categories = None if ids is None else dict(ids.categories)
        self.left_out = Counter[str]() if self._given is None else self._given.left_out
        self._classes = len(self.class_names)  # the labels that have been seen, where there are no names
        self._counts = {"images": 0, "annotations": 0}
        self._columns: dict[str, Column] = {}
        self._parts: dict[str, Growing] = {}

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where the file is one of the inputs."""
        inputs.check(self.path)

    def __enter__(self) -> Self:
        self._parts = {key: Growing.beside(self.path) for key in self._counts}
        return self

    def __exit__(self, *error: object) -> None:
        """Put the file together, after an error too."""
        names = self.class_names or list(map(str, range(self._classes)))
        numbers = self._categories or {name: label + 1 for label, name in enumerate(names)}
        skeletons = [column.skeleton for column in self._columns.values() if column.skeleton is not None]
        # As COCO's own categories have them: edges count from 1.
        joints: dict[str, Any] = {
            key: value
            for skeleton in skeletons[:1]
            for key, value in (
                ("keypoints", skeleton.names),
                ("skeleton", [[a + 1, b + 1] for a, b in skeleton.edges]),
            )
        }
        categories = [{"id": number, "name": name, **joints} for name, number in numbers.items()]
        try:
            whole = self._parts["whole"] = Growing.beside(self.path)
            whole.add('{"info": ' + json.dumps(self._info(), ensure_ascii=False, indent=1))
            whole.add(',\n"categories": ' + json.dumps(categories, ensure_ascii=False))
            for key in self._counts:
                whole.add(f',\n"{key}": [\n')
                whole.take(self._parts[key])
                whole.add("\n]")
            whole.add("}\n")
            whole.finish()
        finally:
            for part in self._parts.values():
                part.discard()

    def check(self, names: Sequence[str]) -> None:
        """Raise a DataError that names the images that are not in the annotations, where ids are given."""
        if self._given is not None:
            self._given.check(names)

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add a frame and its objects; one that is not in the annotations, where ids are given, is a DataError."""
        number: Any = self._counts["images"] + 1
        if self._given is None:
            rows = detections.to_coco(number)
        else:
            number, rows = self._given.rows(frame, detections)
        height, width = frame.size_hw
        image = {"id": number, "file_name": frame.name, "height": height, "width": width}
        image |= {} if frame.time is None else {"time": round(frame.time, 6)}
        areas = (round(row["bbox"][2] * row["bbox"][3], 3) for row in rows)
        numbered = enumerate(zip(rows, areas, strict=True), self._counts["annotations"] + 1)
        self._add("annotations", [{"id": i, **row, "area": area, "iscrowd": 0} for i, (row, area) in numbered])
        self._add("images", [image])
        self._classes = max(self._classes, int(detections.labels.max(initial=-1)) + 1)
        self._columns |= {column.name: column for column in detections.columns if column.kind != "vector"}
        if detections.track_ids is not None:
            self._columns["track_id"] = Column("identity", "value", dtype="int64")

    def summary(self) -> str:
        return f"{self.path} ({counted(self._counts['annotations'], 'object')})"

    def _info(self) -> dict[str, Any]:
        further = {name: _describe(column) for name, column in self._columns.items()}
        fields = FIELDS | {f"annotations.{name}": text for name, text in further.items()}
        return {"description": "objects found by centernet, in COCO's form", "version": VERSION, "fields": fields}

    def _add(self, key: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows, all or none."""
        texts = [json.dumps(row, ensure_ascii=False) for row in rows]
        self._parts[key].add(",\n" * (self._counts[key] > 0 and bool(rows)) + ",\n".join(texts))
        self._counts[key] += len(rows)


class JsonList:
    """A JSON list, a line an entry, which grows beside `path` and becomes it at the end in one step."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._file = Growing.beside(path)
        self._file.add("[")

    def add(self, entries: Iterable[str]) -> None:
        """Add entries, JSON each, all or none."""
        texts = list(entries)
        self._file.add((",\n" if self.count else "\n") * bool(texts) + ",\n".join(texts))
        self.count += len(texts)

    def finish(self) -> None:
        """End the list."""
        try:
            self._file.add("\n]\n")
            self._file.finish()
        finally:
            self._file.discard()


class CocoResultsWriter:
    """Writes COCO's list of results with the ids of a file of annotations, as pycocotools' `loadRes` takes beside it.

    Rows are those of `Detections.to_coco`; they become `path` at the end in one step.

    Args:
        path: of the JSON file; its folder is made if missing.
        ids: those of the annotations.
        class_names: by label; objects of classes that the annotations don't have are left out and counted.

    Raises:
        DataError: not one of the classes is in the annotations.
    """

    def __init__(self, path: str | os.PathLike[str], ids: CocoIds, class_names: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self._ids = _DatasetIds(self.path, ids, class_names)
        self.left_out, self.check = self._ids.left_out, self._ids.check
        self._list: JsonList

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where the file is one of the inputs."""
        inputs.check(self.path)

    def __enter__(self) -> Self:
        self._list = JsonList(self.path)
        return self

    def __exit__(self, *error: object) -> None:
        self._list.finish()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add the objects of a frame; one that is not in the annotations is a DataError."""
        self._list.add(map(json.dumps, self._ids.rows(frame, detections)[1]))

    def summary(self) -> str:
        return f"{self.path} ({counted(self._list.count, 'object')})"


def _describe(column: Column) -> str:
    """Return what a further field of an annotation is, for people."""
    kinds = {"value": "value of the model", "points": "x y … of points in pixels", "boxes": "x1 y1 x2 y2 in pixels"}
    if column.name == "identity":
        return "identity of the object through the frames"
    return kinds[column.kind] + (f", {'×'.join(map(str, column.shape))} in one list" if column.shape else "")


def _places(column: Column) -> list[str]:
    """Return a name for each number of a column."""
    if column.skeleton is not None:
        return [f"{column.name}_{part}_{axis}" for part in column.skeleton.names for axis in ("x", "y", "score")]
    return [f"{column.name}_{i}" for i in range(math.prod(column.shape))] if column.shape else [column.name]


class CsvWriter:
    """Writes a table with one row an object: image, class, score, corners in original pixels, track id and time in
    seconds where there are such, and further columns.

    Columns of several numbers have a place for each, named by its number, keypoints by their names and x, y, score;
    vectors are left out. A name that would be a
    formula in a spreadsheet begins with ``./`` where it is an image's, and with an apostrophe where it is a class's.
    Rows go to a file beside `path` as they come, and become `path` at the end.

    Args:
        path: of the CSV file; its folder is made if missing.
        columns: that detections have beside boxes, labels and scores.
    """

    COLUMNS = ("image", "frame", "label", "class", "score", "x1", "y1", "x2", "y2", "track_id", "time")

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[Column] = ()) -> None:
        self.path, self._count = Path(path), 0
        self._further = [column for column in columns if column.kind != "vector"]
        self._file: Growing

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where the file is one of the inputs."""
        inputs.check(self.path)

    def __enter__(self) -> Self:
        self._file = Growing.beside(self.path)
        names = [name for column in self._further for name in _places(column)]
        self._add([[*self.COLUMNS, *map(csv_cell, names)]])
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._file.finish()
        finally:
            self._file.discard()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add the objects of a frame."""
        name = frame.name if csv_cell(frame.name) == writable(frame.name) else f"./{frame.name}"
        rows = []
        for one in detections:
            row = [name, frame.index, one.label, csv_cell(one.name), round(one.score, 5)]
            row += [*(round(v, 2) for v in one.bbox.tolist()), "" if one.track_id is None else one.track_id]
            row.append("" if frame.time is None else round(frame.time, 6))
            row += [round(v, 4) for column in self._further for v in one.data[column.name].reshape(-1).tolist()]
            rows.append(row)
        self._add(rows)
        self._count += len(rows)

    def _add(self, rows: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._file.add(text.getvalue())

    def summary(self) -> str:
        return f"{self.path} ({counted(self._count, 'row')})"


class MotWriter:
    """Writes tracks as MOTChallenge takes them: ``frame,id,left,top,width,height,score,-1,-1,-1``, a row an object.

    Frames and pixels count from 1: left is x1 + 1. The rows of a frame are in the file once it is written.

    Args:
        path: of the text file; its folder is made if missing.
        with_classes: column 8 is the label + 1, as `centernet evaluate-tracking` reads several classes, in the place
            of -1, which MOTChallenge's own tools expect.
    """

    def __init__(self, path: str | os.PathLike[str], *, with_classes: bool = False) -> None:
        self.path, self.with_classes = Path(path), with_classes
        self._frames = self._count = 0
        self._file: Growing

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where the file is one of the inputs."""
        inputs.check(self.path)

    def __enter__(self) -> Self:
        self._file = Growing(self.path)
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add the tracks of a frame; its number is its index + 1. Without track ids it is a ValueError."""
        if detections.track_ids is None:
            raise ValueError(f"{frame.name}: detections without track_ids; a tracker gives them")
        self._file.add("".join(result_rows(frame.index + 1, detections, with_classes=self.with_classes)))
        self._frames, self._count = self._frames + 1, self._count + len(detections)

    def summary(self) -> str:
        return f"{self.path} ({counted(self._count, 'row')} of {self._frames} frames)"
