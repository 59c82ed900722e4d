"""Detections in files: COCO's list of results, what `centernet detect` writes, YOLO's, VOC's, KITTI's and CrowdHuman's.

Each kind is read whole, or refused with the file and the line: a program wrote it, so a fault is one of all its rows.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..boxes import cxcywh_to_xyxy, xywh_to_xyxy
from ..documents import read_json_file, read_json_text
from ..text import without_apostrophe
from .json_stream import opened_text
from .problems import DataError, opening
from .text import number, text_lines
from .yolo_files import DataFile, is_names_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = str | int
"""An image or a class: its name, or its number."""
Form = Literal["corners", "sides", "shares"]
ScoreColumn = Literal["last", "second"]
KINDS = (
    "COCO's list of results (.json), detections.json or detections.csv of `centernet detect`, a folder of YOLO's text "
    "files with scores (class x y width height score), VOC's comp4_det_SPLIT_CLASS.txt, KITTI's result files (16 "
    "columns), or CrowdHuman's (.odgt)"
)
_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")  # of a file name that is no UTF-8
_VOC_FILE = re.compile(r"comp\d+.*_det_(.+)$")


@dataclass(eq=False)
class FoundBoxes:
    """M detections as files state them.

    Attributes:
        kind: of the files, for people.
        images: the image of each: its name, or its number in the annotations.
        classes: the class of each: its name, or its number.
        boxes: M×4 in the files' own `form`.
        scores: M.
        form: `corners` are x1 y1 x2 y2 and `sides` x y width height, in pixels from 0; `shares` are centre x, centre y,
            width, height in shares of the image.
        seen: all images that the files speak of, also those without detections.
        first_class: the number of the first class, where classes have numbers; None: it depends on the annotations.
        class_names: all classes that the files name, also those without detections, where they have such a list.
        keypoints: of each, x y score of each keypoint, where the files have them for all.
    """

    kind: str
    form: Form
    images: list[Key] = field(default_factory=list)
    classes: list[Key] = field(default_factory=list)
    rows: list[Sequence[float]] = field(default_factory=list)  # of five: the box, and the score
    seen: list[Key] = field(default_factory=list)
    first_class: int | None = None
    class_names: Sequence[str] = ()
    keypoints: list[Sequence[float]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, image: Key, kind: Key, values: Sequence[float], where: str) -> None:
        """Append a detection, four numbers of its box and the score; an error names `where` it stands."""
        if len(values) != 5 or not all(map(math.isfinite, values)):
            raise DataError(f"{where}: expected four numbers of a box and a score, got {list(values)!r:.200}")
        a, b, c, d, _ = values
        if (c < a or d < b) if self.form == "corners" else (c < 0 or d < 0):
            raise DataError(f"{where}: the box {[a, b, c, d]} has a negative width or height")
        self.images.append(image)
        self.classes.append(kind)
        self.rows.append(values)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """M×4."""
        return self._table()[:, :4]

    @property
    def scores(self) -> NDArray[np.float64]:
        """M."""
        return self._table()[:, 4]

    def _table(self) -> NDArray[np.float64]:
        return np.array(self.rows, dtype=np.float64).reshape(-1, 5)


def as_corners(boxes: NDArray[np.float64], form: Form, size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Return boxes M×4 of one image in the form of a file as ``x1 y1 x2 y2`` in its pixels."""
    if form == "shares":
        height, width = size_hw
        return cxcywh_to_xyxy(boxes * [width, height, width, height])
    return boxes if form == "corners" else xywh_to_xyxy(boxes)


def read_found(path: Path, class_names: Sequence[str] = (), *, score_column: ScoreColumn = "last") -> FoundBoxes:
    """Read detections of whatever kind.

    Args:
        path: a file, or the folder of the files.
        class_names: of the annotations: VOC's file names do not tell where that of the split ends.
        score_column: of YOLO's rows: `last` is class x y width height score, `second` class score x y width height.

    Raises:
        DataError: none of the known kinds, or a row that is wrong.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {KINDS}")
    if path.is_file():
        readers = {".json": read_json, ".json.gz": read_json, ".csv": read_csv, ".odgt": read_odgt}
        for suffix, read in readers.items():
            if path.name.lower().endswith(suffix):
                return read(path)
        if _VOC_FILE.match(path.stem):
            return read_voc_results([path], class_names)
        raise DataError(f"{path}: not a known kind of detections; expected {KINDS}")
    for name in ("detections.json", "predictions.json", "detections.csv"):  # the latter is what Ultralytics writes
        if (path / name).is_file():
            return read_found(path / name)
    files = _text_files(path)
    if not files and len(found := sorted([*path.glob("*.json"), *path.glob("*.odgt")])) == 1:
        return read_found(found[0])
    if any(_VOC_FILE.match(file.stem) for file in files):
        return read_voc_results([file for file in files if _VOC_FILE.match(file.stem)], class_names)
    if not files:
        raise DataError(f"{path}: no detections in this folder; expected {KINDS}")
    first = next((line.split() for file in files for line in text_lines(file) if line.strip()), ["0"])
    if _is_word(first[0]):
        return read_kitti_results(path, files)
    return read_yolo_results(path, files, score_column=score_column)


def _text_files(folder: Path) -> list[Path]:
    """Return the text files of a folder, or of its folder labels or data where it has none itself, but for lists of
    class names."""
    found: list[Path] = []
    for place in (folder, folder / "labels", folder / "data"):
        direct = [file for file in place.glob("*.txt") if not is_names_file(file)]
        found = found or (sorted(place.rglob("*.txt")) if direct else [])
    return [file for file in found or sorted(folder.rglob("*.txt")) if not is_names_file(file)]


def _is_word(text: str) -> bool:
    with suppress(ValueError):
        number(text)
        return False
    return True


def _values(fields: Sequence[str], where: str) -> list[float]:
    try:
        return [number(text) for text in fields]
    except ValueError as error:
        raise DataError(f"{where}: {' '.join(fields)!r:.100} are no numbers ({error})") from error


# ---------------------------------------------------------------------- JSON


def read_json(path: Path) -> FoundBoxes:
    """Read COCO's list of results, or a file of images, categories and annotations with a score (`detections.json`)."""
    with opening(path):
        content = load_json(path)
    return found_in_json(content, str(path))


def found_in_json(content: Any, where: str) -> FoundBoxes:
    """Return the detections in the contents of a JSON file; `where` names it in messages."""
    if isinstance(content, Mapping) and isinstance(content.get("annotations"), list):
        return _named(content, where)
    if not isinstance(content, list):
        got = f"an object with {', '.join(content)}" if isinstance(content, Mapping) else type(content).__name__
        text = "expected COCO's list of results, or an object with images, categories and annotations"
        raise DataError(f"{where}: {text}, got {got:.200}")
    return _entries(content, FoundBoxes("COCO's results", "sides"), f"{where}: entry", _key, _key)


def load_json(path: Path) -> Any:
    """Return what a JSON file holds, perhaps a compressed one."""
    try:
        with opened_text(path) as file:
            return read_json_file(file)
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); is the file complete?") from error


def _named(content: Mapping[str, Any], source: str) -> FoundBoxes:
    """Return the detections of a file that names its images and categories."""
    names: dict[str, dict[Any, str]] = {}
    for key, name in (("images", "file_name"), ("categories", "name")):
        entries = content.get(key)
        if not isinstance(entries, list) or not all(
            isinstance(e, Mapping) and "id" in e and name in e for e in entries
        ):
            raise DataError(f"{source}: expected a list {key}, of objects with id and {name}")
        names[key] = {entry["id"]: str(entry[name]) for entry in entries}

    def name_of(key: str) -> Callable[[Any, str], str]:
        def look_up(value: Any, where: str) -> str:
            if value not in names[key]:
                raise DataError(f"{where}: the list {key} of the file has no id {value!r:.50}")
            return names[key][value]

        return look_up

    found = FoundBoxes("detections in COCO's form", "sides", seen=list(names["images"].values()))
    found.class_names = list(dict.fromkeys(names["categories"].values()))
    where = f"{source}: annotations: entry"
    return _entries(content["annotations"], found, where, name_of("images"), name_of("categories"))


def _entries(
    entries: Sequence[Any], found: FoundBoxes, where: str, image: Callable[..., Any], category: Callable[..., Any]
) -> FoundBoxes:
    for place, entry in enumerate(entries):
        here = f"{where} {place}"
        keys = ("image_id", "category_id", "bbox", "score")
        if isinstance(entry, Mapping) and "keypoints" in entry:
            found.keypoints.append(_keypoints(entry["keypoints"], here))
            entry = {"bbox": _around(found.keypoints[-1]), **entry}  # results of keypoints alone have none
        missing = [key for key in keys if not isinstance(entry, Mapping) or key not in entry]
        if missing:
            hint = "; are these annotations, not detections?" if missing == ["score"] else ""
            raise DataError(f"{here} has no {', '.join(missing)}: {entry!r:.200}{hint}")
        box, score = entry["bbox"], entry["score"]
        values = [*box, score] if isinstance(box, list) else []
        values = values if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values) else []
        if not values:
            raise DataError(f"{here}: expected four numbers as bbox and one as score, got {box!r:.100}, {score!r:.100}")
        found.add(image(entry["image_id"], here), category(entry["category_id"], here), values, here)
    found.seen = found.seen or list(dict.fromkeys(found.images))
    if len(found.keypoints) != len(found) or len(set(map(len, found.keypoints))) > 1:
        found.keypoints = []
    return found


def _keypoints(values: Any, where: str) -> list[float]:
    numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not numbers or not values or len(values) % 3 or not all(map(math.isfinite, values)):
        raise DataError(f"{where}: expected x, y and score of each keypoint as one list, got {values!r:.100}")
    return list(map(float, values))


def _around(keypoints: Sequence[float]) -> list[float]:
    x, y = keypoints[::3], keypoints[1::3]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def plain_id(value: Any) -> Any:
    """Return an id, as a number where it is the text of one, as some programs write it."""
    if isinstance(value, str) and value.isdecimal() and str(int(value)) == value:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key(value: Any, where: str) -> Key:
    key = plain_id(value)
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise DataError(f"{where}: expected a whole number or a name as id, got {value!r:.50}")
    return key


# ---------------------------------------------------------------------- tables


def read_csv(path: Path) -> FoundBoxes:
    """Read the table that `centernet detect --format csv` writes."""
    found = FoundBoxes("a table of detections", "corners")
    lines = text_lines(path)
    rows = csv.DictReader(f"{line}\n" for line in lines)
    columns = ("image", "class", "score", "x1", "y1", "x2", "y2")
    missing = [name for name in columns if name not in (rows.fieldnames or ())]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; expected those of `centernet detect --format csv`")
    for row in rows:
        where = f"{path}: line {rows.line_num}"
        values = [row[name] or "" for name in ("x1", "y1", "x2", "y2", "score")]
        image = _BYTE.sub(lambda match: chr(int(match[1], 16)), row["image"] or "")
        found.add(image, without_apostrophe(row["class"] or ""), _values(values, where), where)
    found.seen = list(dict.fromkeys(found.images))
    return found


def read_odgt(path: Path) -> FoundBoxes:
    """Read CrowdHuman's results: one JSON object a line, ``ID`` and ``dtboxes`` with ``box`` and ``score``."""
    found = FoundBoxes("CrowdHuman's results", "sides")
    for place, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}: line {place}"
        try:
            entry = read_json_text(line)
            name, boxes = str(entry["ID"]), [[*box["box"], box["score"]] for box in entry["dtboxes"]]
            kinds = [str(box.get("tag", "person")) for box in entry["dtboxes"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = "; are these annotations, not detections?" if "gtboxes" in line else ""
            raise DataError(f"{where}: expected ID and dtboxes with box and score ({error!r:.80}){hint}") from error
        found.seen.append(name)
        for values, kind in zip(boxes, kinds, strict=True):
            found.add(name, "person" if kind == "1" else kind, [float(value) for value in values], where)
    return found


def read_voc_results(files: Sequence[Path], class_names: Sequence[str]) -> FoundBoxes:
    """Read VOC's ``comp4_det_SPLIT_CLASS.txt``: image, score, and corners in pixels counted from 1, the last included.

    The class is the longest of `class_names` that the file's name ends with, else what follows its last ``_``.
    """
    found, known = FoundBoxes("VOC's results", "corners"), frozenset(class_names)
    for path in files:
        end = _VOC_FILE.match(path.stem)
        assert end is not None
        words = end[1].split("_")
        ends = ("_".join(words[start:]) for start in range(len(words)))
        kind = next((name for name in ends if name in known), words[-1])
        for line, row in _rows(path):
            where = f"{path}: line {line}"
            fields = row.rsplit(None, 5)
            if len(fields) != 6:
                raise DataError(f"{where}: expected image, score, xmin ymin xmax ymax, got {row!r:.100}")
            score, x1, y1, x2, y2 = _values(fields[1:], where)
            found.add(fields[0], kind, (x1 - 1, y1 - 1, x2, y2, score), where)
    found.seen = list(dict.fromkeys(found.images))
    return found


def read_kitti_results(folder: Path, files: Sequence[Path]) -> FoundBoxes:
    """Read KITTI's result files, one an image: 15 columns of the labels, then the score."""
    found = FoundBoxes("KITTI's results", "corners")
    for path, name in _images(folder, files, found):
        for line, row in _rows(path):
            where, fields = f"{path}: line {line}", row.split()
            if len(fields) != 16:
                hint = ": the score is missing" if len(fields) == 15 else ""
                raise DataError(f"{where}: {len(fields)} columns, expected KITTI's 16{hint}")
            values = _values(fields[1:], where)
            found.add(name, fields[0], (*values[3:7], values[14]), where)
    return found


def read_yolo_results(folder: Path, files: Sequence[Path], *, score_column: ScoreColumn = "last") -> FoundBoxes:
    """Read YOLO's text files with scores, one an image: class, centre x y, width, height in shares, score, perhaps id.

    Classes have names where the folder, or the one above it, has a list of them: ``classes.txt``, ``obj.names`` …
    """
    names = _class_names(folder)
    found = FoundBoxes("YOLO's results", "shares", first_class=0, class_names=names)
    for path, name in _images(folder, files, found):
        for line, row in _rows(path):
            where, fields = f"{path}: line {line}", row.split()
            kind, *values = _values(fields, where)
            if len(values) not in (5, 6) or not kind.is_integer() or kind < 0:
                hint = ": there is no score; Ultralytics writes it with save_conf=True" if len(values) == 4 else ""
                raise DataError(f"{where}: {row!r:.100}, expected class x y width height score{hint}")
            *box, score = values[:5] if score_column == "last" else [*values[1:5], values[0]]
            if not 0 <= score <= 1:
                text = "an identity stands behind the score" if score.is_integer() else "is it the score?"
                raise DataError(f"{where}: {score:g} in the place of the score, expected 0..1; {text}")
            if names and kind >= len(names):
                raise DataError(f"{where}: the class {kind:.0f} is none of the {len(names)} that are listed beside it")
            found.add(name, names[int(kind)] if names else int(kind), (*box, score), where)
    if score_column == "last":
        _check_scores_are_last(found, folder)
    return found


def _check_scores_are_last(found: FoundBoxes, folder: Path) -> None:
    """Refuse rows whose numbers are those of class, score, x, y, width, height, as some programs write them."""
    table = np.array(found.rows).reshape(-1, 5)

    def inside(x: Any, y: Any, width: Any, height: Any) -> Any:
        low, high = np.minimum(x - width / 2, y - height / 2), np.maximum(x + width / 2, y + height / 2)
        return (low > -0.02) & (high < 1.02)

    as_read, moved = inside(*table.T[:4]), inside(*table.T[1:])
    if len(table) and as_read.mean() < 0.9 and moved.mean() > 0.98:
        raise DataError(
            f"{folder}: {int((~as_read).sum())} of {len(table)} boxes reach out of their images, but none would if the "
            "score stood behind the class: --score-column second (score_column=) reads them so"
        )


def _class_names(folder: Path) -> Sequence[str]:
    """Return the names in a list of classes in the folder, or in the one above it; none without one."""
    for place in (folder, folder.parent):
        for path in sorted(place.iterdir()):
            if is_names_file(path) and path.is_file():
                return DataFile.read(path).names
    return ()


def _images(folder: Path, files: Sequence[Path], found: FoundBoxes) -> Iterator[tuple[Path, str]]:
    """Yield each file with the name of its image, which counts as seen."""
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        found.seen.append(name)
        yield path, name


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers."""
    with opening(path):
        lines = text_lines(path)
    yield from ((place, line.strip()) for place, line in enumerate(lines, start=1) if line.strip())
