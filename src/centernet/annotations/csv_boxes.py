"""CSV files with a box in each row, and their lists of classes.

Two forms are widely written. keras-retinanet's (https://github.com/fizyr/keras-retinanet#csv-datasets) has no header:
``path,x1,y1,x2,y2,class``, with ``path,,,,,`` for an image without objects, and a list of classes ``name,number``.
That of TensorFlow's object detection has the header ``filename,width,height,class,xmin,ymin,xmax,ymax``. Of other
headers the columns are known by their names, in any order: corners, or a corner or centre with the size of the box.

Columns are parted by commas, semicolons, tabs or bars. A row is a line: a quote that isn't closed spoils no other row.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ..images import IMAGE_SUFFIXES
from .listed import ListedImages
from .problems import DataError, Reports, opening, with_nearest
from .text import iterate_lines, number, number_or_none

Convention: TypeAlias = Literal["edges", "inclusive", "voc"]
CONVENTIONS: Mapping[Convention, tuple[float, float]] = {"edges": (0, 0), "inclusive": (0, 1), "voc": (-1, 0)}
"""Added to x1, y1 and to x2, y2: ``edges`` are lines between pixels, ``inclusive`` numbers the first and the
last pixel of the box from 0, ``voc`` from 1."""
EMPTY = "the file is empty"
SNIFFED = 50
"""Lines at the beginning of a file by which its columns are known."""

_IMAGE = "filename file filepath path image imagename imagepath imagefile imagefilename imageid img imgname imgpath"
_CLASS = "classname labelname categoryname class label category classlabel objectclass object name classid labelid"
_NAMES: Mapping[str, str] = {  # the names of columns by what they hold, in lower case and without marks
    "image": _IMAGE,
    "class": f"{_CLASS} categoryid annotationtag",
    "image width": "imagewidth imgwidth imwidth",
    "image height": "imageheight imgheight imheight",
    "ignore": "ignore iscrowd difficult",
    "split": "split subset set usage partition mlusage",
    "x1": "xmin x1 xtl minx left bboxxmin bboxx1 roix1 upperleftcornerx",
    "y1": "ymin y1 ytl miny top bboxymin bboxy1 roiy1 upperleftcornery",
    "x2": "xmax x2 xbr maxx right bboxxmax bboxx2 roix2 lowerrightcornerx",
    "y2": "ymax y2 ybr maxy bottom bboxymax bboxy2 roiy2 lowerrightcornery",
    "x": "x left bboxx boxx bboxleft",
    "y": "y top bboxy boxy bboxtop",
    "centre x": "xcenter centerx cx xcentre",
    "centre y": "ycenter centery cy ycentre",
    "width": "width w bboxwidth bboxw boxwidth boxw",
    "height": "height h bboxheight bboxh boxheight boxh",
}
_BOXES = (("x1", "y1", "x2", "y2"), ("centre x", "centre y", "width", "height"), ("x", "y", "width", "height"))
_WITHOUT_HEADER = (  # a letter a column: image, class, number
    ("innnnc", ("image", "x1", "y1", "x2", "y2", "class")),
    ("inncnnnn", ("image", "image width", "image height", "class", "x1", "y1", "x2", "y2")),
    ("cnnnninn", ("class", "x", "y", "width", "height", "image", "image width", "image height")),
)


@dataclass(frozen=True)
class CsvColumns:
    """The columns of a file: their places by what they hold, and the three or four of the box."""

    separator: str
    header: bool
    count: int
    places: Mapping[str, int]
    box: tuple[str, ...]
    unread: tuple[str, ...] = ()  # names of columns that say nothing here
    doubtful: bool = False  # whether x and y are a corner

    def split(self, line: str) -> list[str]:
        """Return the fields of a line; a csv.Error where a quote isn't closed."""
        return _split(line, self.separator)


def sniff(path: Path) -> CsvColumns | str:
    """Return the columns of a file as its first lines tell them, or why they are no table of boxes."""
    with opening(path):
        lines = [line for line in islice(iterate_lines(path), SNIFFED) if line.strip()]
    if not lines:
        return f"{path.name}: {EMPTY}"
    separator = max(",;\t|", key=lambda mark: len(_split(lines[0], mark, strict=False)))
    rows = [_split(line, separator, strict=False) for line in lines]
    return _by_header(path.name, rows[0], separator) or _by_content(path.name, rows, separator)


def _by_header(file: str, names: Sequence[str], separator: str) -> CsvColumns | str:
    """Return the columns by their names; why they aren't all there; empty where the first row is none of names."""
    plain = ["".join(filter(str.isalnum, name.lower())) for name in names]
    if "x0" in plain and "y0" in plain:  # x0 y0 x1 y1
        plain = [{"x0": "x1", "y0": "y1", "x1": "x2", "y1": "y2"}.get(name, name) for name in plain]
    places = {role: place for role, known in _NAMES.items() if (place := _first(known.split(), plain)) is not None}
    box = next((box for box in _BOXES if all(name in places for name in box)), None)
    if box is None or (box != _BOXES[0] and not places.keys().isdisjoint(("x2", "y2"))):  # a corner misspelt
        few = len(places.keys() - {"image", "class"}) < 2 or any(map(_is_image, names))
        found = f"{file}: of the columns {', '.join(names)} none or not all are known as those of boxes"
        return "" if few else f"{found} (xmin, ymin, xmax, ymax; or x, y, width, height)"
    if "width" not in box:
        sizes = {f"image {side}": places[side] for side in ("width", "height") if side in places}
        places = {**sizes, **places}
    if "image" not in places:
        known = "is known as that of the images (filename, image, path …)"
        return f"{file}: none of the columns {', '.join(names)} {known}"
    roles = ("image", "class", "image width", "image height", "ignore", "split", *box)
    places = {role: places[role] for role in roles if role in places}
    unread = tuple(name or f"number {place + 1}" for place, name in enumerate(names) if place not in places.values())
    return CsvColumns(separator, True, len(names), places, box, unread, box[0] == "x" and plain[places["x"]] == "x")


def _first(known: Sequence[str], names: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def _by_content(file: str, rows: Sequence[Sequence[str]], separator: str) -> CsvColumns | str:
    """Return the columns of a file without a header, which most of its first rows must fit; or why they do not."""
    for kinds, roles in _WITHOUT_HEADER:
        fitting = sum(_fit(kinds, row) for row in rows)
        if 2 * fitting > len(rows):
            box = next(box for box in _BOXES if set(box) <= set(roles))
            return CsvColumns(separator, False, len(kinds), {role: place for place, role in enumerate(roles)}, box)
    example = separator.join(rows[0])
    expected = "path,x1,y1,x2,y2,class, or a header such as filename,width,height,class,xmin,ymin,xmax,ymax"
    return f"{file} begins with {example!r:.100}, expected {expected}"


def _fit(kinds: str, row: Sequence[str]) -> bool:
    """Tell whether a row is one of the letters of `_WITHOUT_HEADER`; fields may be empty, but not the image's."""
    if any(row[len(kinds) :]):
        return False
    for kind, text in zip(kinds, [*row, *[""] * len(kinds)], strict=False):
        if not (_is_image(text) if kind == "i" else kind == "c" or not text or number_or_none(text) is not None):
            return False
    return True


def _is_image(text: str) -> bool:
    return Path(text.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES


def _split(line: str, separator: str, *, strict: bool = True) -> list[str]:
    if '"' not in line:
        return [text.strip() for text in line.split(separator)]
    (row,) = csv.reader([line], delimiter=separator, skipinitialspace=True, strict=strict)
    return [text.strip() for text in row]


def splits_of(path: Path, columns: CsvColumns) -> list[str]:
    """Return the values in the column of splits, in the order in which they come; none without such a column."""
    if "split" not in columns.places:
        return []
    place, found = columns.places["split"], dict[str, None]()
    with opening(path):
        for line in islice((line for line in iterate_lines(path) if line.strip()), 1, None):
            fields = _split(line, columns.separator, strict=False)
            if len(fields) == columns.count:
                found[fields[place]] = None
    return list(found)


def read_classes(path: Path) -> dict[str, int]:
    """Return the numbers of the classes in a list ``name,number``, in the order of the numbers."""
    numbers: dict[str, int] = {}
    with opening(path, "classes"):
        for place, line in enumerate(iterate_lines(path), start=1):
            fields = _split(line, next((mark for mark in ",;\t" if mark in line), ","))
            if not line.strip() or (place == 1 and not any(map(str.isdecimal, fields))):
                continue  # a header
            if len(fields) == 2 and fields[0].isdecimal() and not fields[1].isdecimal():
                fields.reverse()
            if len(fields) != 2 or not fields[1].isdecimal() or not fields[0] or fields[0] in numbers:
                text = f"{line!r:.100} is no new class and its number"
                raise DataError(f"{path}: line {place}: {text}; expected rows such as cat,0 (or give `classes`)")
            numbers[fields[0]] = int(fields[1])
    if len(set(numbers.values())) < len(numbers) or not numbers:
        raise DataError(f"{path}: expected classes with a number each, got {numbers!r:.200}")
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


def read_csv(
    path: Path,
    report: Reports,
    *,
    columns: CsvColumns,
    classes: Mapping[str, int] | None = None,
    list_name: str = "",
    convention: Convention = "edges",
    only_class: str | None = None,
    split: str | None = None,
) -> ListedImages:
    """Read a file row by row.

    Args:
        path: the file.
        report: told of each row that is wrong and left out.
        columns: as `sniff` gives them.
        classes: numbers of all classes, in their order; rows may state either. None: the classes that occur.
        list_name: the file that these are from.
        convention: of boxes in pixels.
        only_class: of all boxes where there is no column of classes.
        split: the value of the rows to read in the column of splits; None reads all.
    """
    reader = _Reader(path, report, columns, classes, list_name, only_class, split, ListedImages("line"))
    if classes is not None:
        reader.listed.declare(list(classes))
    header = columns.header
    with opening(path, "annotations"):
        for line, text in enumerate(iterate_lines(path), start=1):
            if text.strip() and not header:
                reader.read(line, text)
            header = header and not text.strip()
    return reader.finish(convention)


@dataclass
class _Reader:
    """Reads one row after the other."""

    path: Path
    report: Reports
    columns: CsvColumns
    classes: Mapping[str, int] | None
    list_name: str
    only_class: str | None
    split: str | None
    listed: ListedImages
    unknown: dict[str, tuple[int, int]] = field(default_factory=dict)  # count and first line by class
    odd_sizes: dict[int, str] = field(default_factory=dict)  # by image

    def read(self, line: int, text: str) -> None:
        """Read a row, which is an object or an image without any; one that is wrong is reported."""
        try:
            self._read(line, self.columns.split(text))
        except (csv.Error, ValueError) as error:
            self.report(self.path, "bad-row", f"line {line}: {text.strip():.100} {error}; it is left out")

    def _read(self, line: int, fields: list[str]) -> None:
        count, places = self.columns.count, self.columns.places
        if len(fields) > count and not any(fields[count:]):
            fields = fields[:count]
        if len(fields) < count and sum(map(bool, fields)) == 1:
            fields += [""] * (count - len(fields))
        if len(fields) != count:
            raise ValueError(f"has {len(fields)} columns, expected {count}")
        if self.split is not None and fields[places["split"]] != self.split:
            return
        name = fields[places["image"]]
        if not name:
            raise ValueError("names no image")
        texts = [fields[places[role]] for role in self.columns.box]
        kind = self.only_class or (fields[places["class"]] if "class" in places else "")
        if not any(texts) and ("class" not in places or not kind):
            self._image(name, fields)
            return
        box = self._box(texts)
        ignore = "ignore" in places and _flag(fields[places["ignore"]])
        if not kind:
            raise ValueError("has no class")
        if not kind.isascii() and any("\ud800" <= letter <= "\udfff" for letter in kind):  # bytes that are no UTF-8
            raise ValueError("has a class that is no text in UTF-8; save the file in that encoding")
        known = self._known(kind)
        image = self._image(name, fields)
        if known is None:
            times, first = self.unknown.get(kind, (0, line))
            self.unknown[kind] = times + 1, first
            return
        self.listed.add(image, line, box, known, ignore=ignore)

    def _box(self, texts: Sequence[str]) -> tuple[float, float, float, float]:
        """Return the corners, as the file counts them."""
        if self.columns.separator != ",":
            texts = [text.replace(",", ".") for text in texts]  # decimal commas
        if not all(texts):
            missing = [role for role, text in zip(self.columns.box, texts, strict=True) if not text]
            raise ValueError(f"has no {', '.join(missing)}")
        a, b, c, d = map(number, texts)
        if self.columns.box[0] == "x1":
            return a, b, c, d
        return (a, b, a + c, b + d) if self.columns.box[0] == "x" else (a - c / 2, b - d / 2, a + c / 2, b + d / 2)

    def _known(self, kind: str) -> str | None:
        """Return the name of a class that a row states by its name or number; None if the list hasn't it."""
        if self.classes is None or kind in self.classes:
            return kind
        return next((name for name, value in self.classes.items() if kind.removesuffix(".0") == str(value)), None)

    def _image(self, name: str, fields: Sequence[str]) -> int:
        """Return the number of an image, with the size that the row states."""
        places = self.columns.places
        stated = [fields[places[role]] for role in ("image height", "image width") if role in places]
        size = None
        if len(stated) == 2 and any(stated):
            height, width = (number_or_none(text) or 0 for text in stated)
            size = (int(height), int(width)) if 1 <= height < 2**31 and 1 <= width < 2**31 else (0, 0)
        image = self.listed.image(name, self.path, size)
        if size is not None and (size == (0, 0) or size != self.listed.sizes[image]):
            self.odd_sizes.setdefault(image, f"the size {' '.join(stated)} (height width)")
        return image

    def finish(self, convention: Convention) -> ListedImages:
        """Return all that was read, and report what is known only in the end."""
        listed = self.listed
        for kind, (times, first) in self.unknown.items():
            known = list(self.classes or ())
            text = f"line {first}: {with_nearest([kind], known)} is not in the list of classes {self.list_name}"
            rows = "1 row: its 1 box is" if times == 1 else f"{times} rows: their {times} boxes are"
            self.report(self.path, "unknown-class", f"{text}, in {rows} left out")
        for image, text in self.odd_sizes.items():
            listed.sizes[image] = None
            text = f"{listed.names[image]}: {text} is wrong or not the same in all rows; it is not used"
            self.report(self.path, "size", text)
        if self.columns.doubtful:
            text = "x and y are taken as the corner of each box at the top left, not as its centre"
            self.report.note(self.path, "assumed", text)
        if self.columns.unread:
            self.report.note(self.path, "assumed", f"columns that are not read: {', '.join(self.columns.unread)}")
        if self.split is None and "split" in self.columns.places:
            self.report.note(self.path, "assumed", "the rows of all splits in its column of splits are read")
        boxes = listed.rows.rows().boxes
        finite = boxes[np.isfinite(boxes).all(axis=1)]
        within = len(finite) > 0 and bool((finite >= -0.001).all() and (finite <= 1.001).all())
        if within and (finite != np.round(finite)).any():
            listed.normalised = True
            text = "all coordinates are between 0 and 1: they are read as shares of the width and height of the image"
            self.report.note(self.path, "assumed", text)
        else:
            low, high = CONVENTIONS[convention]
            boxes += [low, low, high, high]
        return listed


def _flag(text: str) -> bool:
    value = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}.get(text.lower())
    if value is None:
        raise ValueError(f"says {text!r} where 0 or 1 is expected")
    return value
