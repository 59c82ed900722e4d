"""Writers of detections and tracks: annotated images, COCO-style JSON, CSV, MOTChallenge's text.

Writers keep no frame in memory. An error or Ctrl-C finishes them too, with what was written until then.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from centernet.annotations.image_names import CocoIds, ImageNames
from centernet.annotations.mot import result_rows
from centernet.annotations.problems import DataError
from centernet.detections import Column, Detections
from centernet.drawing import Trails, draw
from centernet.inference.sources import Frame

if TYPE_CHECKING:
    from typing_extensions import Self


class Writer(Protocol):
    """Anything that frames and their detections can be handed to, one by one."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def write(self, frame: Frame, detections: Detections) -> None:
        """Add a frame."""

    def summary(self) -> str:
        """Return the path and how much was written, for a person."""


def counted(number: int, noun: str) -> str:
    """Return "1 row", "2 rows" or "2 identities"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


class ImageWriter:
    """Writes JPEGs of the images with their boxes drawn, and trails of identities, named as the images are.

    Images of equal names (from different folders, or with different suffixes) get the name of their folder in front,
    their own suffix behind, or a number.

    Args:
        folder: made if missing. It must not hold the images themselves.
        quality: of the JPEGs, 1..100.
    """

    def __init__(self, folder: str | os.PathLike[str], *, quality: int = 92) -> None:
        self.folder, self.quality = Path(folder), quality
        self._used: set[str] = set()
        self._trails = Trails()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw and save a frame; a ValueError where the image is in this folder, and might be overwritten."""
        if frame.path is not None and frame.path.parent.resolve() == self.folder.resolve():
            raise ValueError(
                f"{self.folder}: the images themselves are in this folder; choose another for what is drawn"
            )
        path = self.folder / f"{self._free_name(frame)}.jpg"
        drawn = draw(self._trails.draw(frame.image, detections), detections)
        ok, data = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        if not ok:
            raise OSError(f"{path}: an image of {frame.image.shape[1]}×{frame.image.shape[0]} cannot be saved as JPEG")
        path.write_bytes(data.tobytes())

    def summary(self) -> str:
        return f"{self.folder} ({counted(len(self._used), 'image')})"

    def _free_name(self, frame: Frame) -> str:
        name = PurePath(frame.name)
        stem = name.stem if frame.is_file else name.name
        candidates = [stem, f"{name.parent.name}_{stem}"] if name.parent.name else [stem]
        if name.suffix and stem == name.stem:
            candidates.append(f"{stem}_{name.suffix[1:]}")
        numbered = (f"{stem}_{number}" for number in count(2))
        free = next(text for text in chain(candidates, numbered) if text.casefold() not in self._used)
        self._used.add(free.casefold())  # some file systems don't tell A from a
        return free


class CocoWriter:
    """Writes one JSON file in COCO's form: images, categories, and annotations with a score and further columns.

    Rows are those of `Detections.to_coco`; image ids count from 1. They go to two files beside `path` as they come, and
    become `path` at the end in one step: a file under that name is always whole.

    Args:
        path: of the JSON file; its folder is made if missing.
        class_names: by label; empty where none are known, and then categories are the labels that occur.
    """

    def __init__(self, path: str | os.PathLike[str], class_names: Sequence[str] = ()) -> None:
        self.path, self.class_names = Path(path), tuple(class_names)
        self._classes = len(self.class_names)  # the labels that have been seen, where there are no names
        self._counts = {"images": 0, "annotations": 0}
        self._parts: dict[str, IO[str]] = {}

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._parts = {key: self._part(key).open("w+", encoding="utf-8") for key in self._counts}
        return self

    def __exit__(self, *error: object) -> None:
        """Put the file together, after an error too."""
        names = self.class_names or list(map(str, range(self._classes)))
        categories = [{"id": label + 1, "name": name} for label, name in enumerate(names)]
        with self._part("whole").open("w", encoding="utf-8") as file:
            file.write('{"categories": ' + json.dumps(categories, ensure_ascii=False))
            for key, part in self._parts.items():
                file.write(f',\n"{key}": [\n')
                part.seek(0)
                shutil.copyfileobj(part, file)
                file.write("\n]")
            file.write("}\n")
        os.replace(file.name, self.path)
        for key, part in self._parts.items():
            part.close()
            with contextlib.suppress(OSError):
                self._part(key).unlink()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add a frame and its objects."""
        height, width = frame.size_hw
        self._add("images", {"file_name": frame.name, "height": height, "width": width})
        for row in detections.to_coco(self._counts["images"]):
            area = round(row["bbox"][2] * row["bbox"][3], 3)
            self._add("annotations", {**row, "area": area, "iscrowd": 0})
        self._classes = max(self._classes, int(detections.labels.max(initial=-1)) + 1)
        for part in self._parts.values():
            part.flush()

    def summary(self) -> str:
        return f"{self.path} ({counted(self._counts['annotations'], 'object')})"

    def _part(self, key: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{key}.part")

    def _add(self, key: str, row: dict[str, Any]) -> None:
        """Write a row, with the next id."""
        self._counts[key] += 1
        text = json.dumps({"id": self._counts[key], **row}, ensure_ascii=False)
        self._parts[key].write(",\n" * (self._counts[key] > 1) + text)


class CocoResultsWriter:
    """Writes COCO's list of results with the ids of a file of annotations, as pycocotools' `loadRes` takes beside it.

    Images are found by their names, classes by theirs, or by their places among the categories where no names are
    known. Rows are those of `Detections.to_coco`; they become `path` at the end in one step.

    Args:
        path: of the JSON file; its folder is made if missing.
        ids: those of the annotations.
        class_names: by label; objects of classes that the annotations don't have are left out and counted.

    Raises:
        DataError: not one of the classes is in the annotations.
    """

    def __init__(self, path: str | os.PathLike[str], ids: CocoIds, class_names: Sequence[str] = ()) -> None:
        self.path, self.left_out = Path(path), Counter[str]()
        self._image_ids, self._names = list(ids.images.values()), ImageNames(ids.images)
        names, numbers = class_names or tuple(ids.categories), ids.categories
        self._category_ids = {label: numbers[name] for label, name in enumerate(names) if name in numbers}
        self._count = 0
        self._file: IO[str]
        if not self._category_ids:
            text = f"the model's classes are {', '.join(names)}, the annotations' {', '.join(numbers)}"
            raise DataError(f"{self.path}: no class to write: {text}")

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.with_name(f"{self.path.name}.part").open("w", encoding="utf-8")
        self._file.write("[")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.write("\n]\n")
        self._file.close()
        os.replace(self._file.name, self.path)

    def check(self, names: Sequence[str]) -> None:
        """Raise a DataError that names the images that are not in the annotations."""
        places = self._names.find_all(names)
        unknown = [name for name in names if places[name] < 0]
        if unknown:
            some = f"{', '.join(unknown[:10])}{', …' * (len(unknown) > 10)}"
            raise DataError(f"{len(unknown)} of {len(names)} images are not in the annotations: {some}")

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add the objects of a frame; one that is not in the annotations is a DataError."""
        place = self._names.find(frame.location)
        if place < 0:
            raise DataError(f"{frame.location}: the image is not in the annotations")
        known = np.isin(detections.labels, list(self._category_ids))
        self.left_out.update(detections[~known].names)
        for row in detections[known].to_coco(self._image_ids[place], self._category_ids):
            self._file.write(",\n" if self._count else "\n")
            self._file.write(json.dumps(row))
            self._count += 1
        self._file.flush()

    def summary(self) -> str:
        return f"{self.path} ({counted(self._count, 'object')})"


class _TextWriter:
    """Writes rows to a text file, whose folder is made if missing; they are on the disk after each frame."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._frames = self._count = 0
        self._file: IO[str]

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", newline="", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _wrote(self, rows: int) -> None:
        """Count the rows of a frame, and put them on the disk."""
        self._frames += 1
        self._count += rows
        self._file.flush()


class CsvWriter(_TextWriter):
    """Writes a table with one row an object: image, class, score, corners in original pixels, track id where there is
    one, and further columns.

    Columns of several numbers have a place for each, named by its number; vectors are left out.

    Args:
        path: of the CSV file.
        columns: that detections have beside boxes, labels and scores.
    """

    COLUMNS = ("image", "frame", "label", "class", "score", "x1", "y1", "x2", "y2", "track_id")

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[Column] = ()) -> None:
        super().__init__(path)
        self._further = [column for column in columns if column.kind != "vector"]

    def __enter__(self) -> Self:
        super().__enter__()
        names = [
            f"{column.name}_{i}" if column.shape else column.name
            for column in self._further
            for i in range(math.prod(column.shape))
        ]
        self._rows = csv.writer(self._file)
        self._rows.writerow([*self.COLUMNS, *names])
        return self

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add the objects of a frame."""
        for one in detections:
            row = [frame.name, frame.index, one.label, one.name, round(one.score, 5)]
            row += [*(round(v, 2) for v in one.bbox.tolist()), "" if one.track_id is None else one.track_id]
            row += [round(v, 4) for column in self._further for v in one.data[column.name].reshape(-1).tolist()]
            self._rows.writerow(row)
        self._wrote(len(detections))

    def summary(self) -> str:
        return f"{self.path} ({counted(self._count, 'row')})"


class MotWriter(_TextWriter):
    """Writes tracks as MOTChallenge takes them: ``frame,id,left,top,width,height,score,-1,-1,-1``, a row an object.

    Frames and pixels count from 1: left is x1 + 1.

    Args:
        path: of the text file.
        with_classes: column 8 is the label + 1, as `centernet evaluate-tracking` reads several classes, in the place
            of -1, which MOTChallenge's own tools expect.
    """

    def __init__(self, path: str | os.PathLike[str], *, with_classes: bool = False) -> None:
        super().__init__(path)
        self.with_classes = with_classes

    def write(self, frame: Frame, detections: Detections) -> None:
        """Add the tracks of a frame; its number is its index + 1. Without track ids it is a ValueError."""
        if detections.track_ids is None:
            raise ValueError(f"{frame.name}: detections without track_ids; a tracker gives them")
        self._file.writelines(result_rows(frame.index + 1, detections, with_classes=self.with_classes))
        self._wrote(len(detections))

    def summary(self) -> str:
        return f"{self.path} ({counted(self._count, 'row')} of {self._frames} frames)"
