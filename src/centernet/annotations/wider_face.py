"""WIDER FACE's text files (Yang et al., CVPR 2016; http://shuoyang1213.me/WIDERFACE).

``wider_face_train_bbx_gt.txt`` has for each image a line with its name, one with the number of its faces, and a row a
face: left, top, width, height, blur, expression, illumination, invalid, occlusion, pose. Of an image without a face the
number is 0, and one row of zeros follows.

datumaro leaves the number out of an image without boxes, and writes no attributes, or ``-`` for those that it lacks, in
another order: blur, expression, illumination, occluded, pose, invalid. A class other than ``face`` follows at the end;
``labels.txt`` above the folder of the file lists all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..images import IMAGE_SUFFIXES
from .listed import ListedImages
from .problems import DataError, Reports, opening
from .text import filled_lines, iterate_lines, number

FACE = "face"
_INVALID, _INVALID_OF_DATUMARO = 7, 9
_WORDS_OF_ATTRIBUTES = ("-", "True", "False")


def looks_like_wider_face(path: Path) -> str:
    """Say why a file does not begin as one of WIDER FACE; empty if it does, or is empty, which is another fault."""
    with opening(path):
        for place, line in enumerate(iterate_lines(path), start=1):
            if line.strip():
                what = "" if _is_image(line) else f"line {place} is {line.strip()!r:.60}, expected the name of an image"
                return f"{path.name}: {what}" if what else ""
    return ""


def read_wider_face(path: Path, report: Reports) -> ListedImages:
    """Read a file; what is wrong in it is reported and left out."""
    reader = _Reader(path, report, ListedImages("line"))
    names = path.parent.parent / "labels.txt"
    if names.is_file():
        reader.listed.declare([*filled_lines(names).values()])
    with opening(path, "annotations"):
        for line, text in enumerate(iterate_lines(path), start=1):
            if text.strip():
                reader.read(line, text.strip())
    reader.end_image()
    if not reader.listed.names:
        raise DataError(f"{path}: no name of an image in it; expected WIDER FACE's wider_face_train_bbx_gt.txt")
    if not reader.listed.class_names:
        reader.listed.declare([FACE])
    return reader.listed


@dataclass
class _Reader:
    """Reads one line after the other: the name of an image, its count, its rows."""

    path: Path
    report: Reports
    listed: ListedImages
    image: int = -1  # below 0: none yet, or one that is there again
    stated: int | None = None  # number of faces
    line: int = 0  # of the number, or of the name before there is one
    rows: int = 0  # since then

    def read(self, line: int, text: str) -> None:
        """Read a line."""
        if _is_image(text):
            self.end_image()
            known = len(self.listed.names)
            image = self.listed.image(text, self.path)
            if image < known:
                self.report(self.path, "duplicate", f"line {line} names {text} again; its rows are left out")
                image = -1
            self.image, self.stated, self.line, self.rows = image, None, line, 0
        elif text.isdecimal() and self.rows == 0 and self.stated is None:
            self.stated, self.line = int(text), line
        elif self.stated != 0 or text.strip("0. "):  # else the row of zeros of an image without a face
            self.rows += 1
            try:
                self._read_row(line, text.split())
            except ValueError as error:
                self.report(self.path, "bad-row", f"line {line}: {text:.100} {error}; it is left out")

    def end_image(self) -> None:
        """Compare the number of rows with that which is stated."""
        if self.image >= 0 and self.rows != (self.stated or 0):
            name = self.listed.names[self.image]
            number = "no number of its faces" if self.stated is None else f"{self.stated} as the number of its faces"
            text = f"{name} (line {self.line}) has {number}, but {self.rows} rows"
            self.report(self.path, "bad-row", f"{text}; the number is not used")

    def _read_row(self, line: int, fields: list[str]) -> None:
        if self.image < 0:
            raise ValueError("belongs to no image")
        attributes = [place for place in range(4, len(fields)) if _is_attribute(fields[place])]
        count = 4 if 4 not in attributes else 10
        if len(fields) < count or any(place not in attributes for place in range(4, count)):
            text = "expected left, top, width, height and six attributes, or none of these"
            raise ValueError(f"has {len(fields)} columns, {text}")
        if len(fields) > count and (count in attributes or _is_image(fields[-1])):
            raise ValueError(f"has {len(fields)} columns, expected {count}")
        x, y, width, height = map(number, fields[:4])
        ignore = count == 10 and _is_invalid(fields[:10])
        kind = " ".join(fields[count:]) or FACE
        self.listed.add(self.image, line, (x, y, x + width, y + height), kind, ignore=ignore)


def _is_image(text: str) -> bool:
    """Tell whether a line names an image; a row that lost its end before such a line does not."""
    first, *more = text.split()
    is_row = len(more) > 2 and first.lstrip("-")[:1].isdecimal() and more[0].lstrip("-")[:1].isdecimal()
    return not is_row and Path(text.strip()).suffix.lower() in IMAGE_SUFFIXES


def _is_attribute(text: str) -> bool:
    return text in _WORDS_OF_ATTRIBUTES or text.lstrip("-").isdecimal()


def _is_invalid(fields: list[str]) -> bool:
    """Return the flag of a face that is to be ignored; see the module for its column."""
    by_datumaro = any(text in _WORDS_OF_ATTRIBUTES for text in fields)
    value = fields[_INVALID_OF_DATUMARO if by_datumaro else _INVALID]
    meaning = {"0": False, "1": True, "-": False, "False": False, "True": True}.get(value)
    if meaning is None:
        raise ValueError(f"says {value!r} of being invalid, expected 0 or 1")
    return meaning
