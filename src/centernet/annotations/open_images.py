"""Open Images' CSV of boxes (https://storage.googleapis.com/openimages/web/download_v7.html).

A row has ImageID, Source, LabelName (such as ``/m/01g317``), Confidence, XMin, XMax, YMin, YMax in shares of the image,
and flags that are 1, 0, or -1 where nobody said: IsOccluded, IsTruncated, IsGroupOf, IsDepiction, IsInside. Columns are
known by the header. ``class-descriptions-boxable.csv`` has a name for each label. The file of the training images has
14.6 million rows, so it is read row by row, and only what is said of images at hand is kept.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .listed import ListedImages
from .problems import DataError, Reports, opening
from .text import iterate_lines, number

COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")


def header_of(path: Path) -> list[str]:
    """Return the names of the columns if a file is a table of boxes in this format, else nothing."""
    with opening(path):
        names = next(iterate_lines(path), "").replace('"', "").split(",")
    return names if set(COLUMNS) <= set(names) else []


def read_descriptions(path: Path) -> dict[str, str]:
    """Return the names of labels in the order of a file, each another; a file of V7 begins with a header."""
    names: dict[str, str] = {}
    taken = set()
    with opening(path, "classes"):
        for place, line in enumerate(iterate_lines(path), start=1):
            fields = _split(line)
            if not line.strip() or fields[:2] == ["LabelName", "DisplayName"]:
                continue
            if len(fields) < 2 or not fields[0] or not fields[1]:
                raise DataError(f"{path}: line {place}: expected a label and its name, got {line!r:.100}")
            label, name = fields[:2]
            names[label] = name if name not in taken else f"{name} ({label})"
            taken.add(name)
    return names


def read_open_images(
    path: Path, report: Reports, *, find: Callable[[str], str | None], names: Mapping[str, str], ignore: Sequence[str]
) -> ListedImages:
    """Read the rows of a file.

    Args:
        path: the file.
        report: told of each row that is wrong and left out, and of how many are of images that are not there.
        find: returns the file of an ImageID; None if there is none.
        names: of labels; others are called as the label itself, which is said.
        ignore: the flags of boxes that are to be ignored.
    """
    listed = ListedImages("line", normalised=True)
    columns = header_of(path)
    if not columns:
        raise DataError(f"{path}: expected a header with the columns {', '.join(COLUMNS)}")
    missing = [flag for flag in ignore if flag not in columns]
    if missing:
        report.note(path, "assumed", f"there is no column {', '.join(missing)}: no box is ignored for it")
    places = [columns.index(name) for name in COLUMNS]
    flags = [columns.index(flag) for flag in ignore if flag in columns]
    image_id, image, lost, first_lost = "", -1, 0, ""
    with opening(path, "annotations"):
        for line, text in enumerate(iterate_lines(path), start=1):
            if line == 1 or not text or text.isspace():
                continue
            try:
                fields = _split(text)
                if len(fields) != len(columns):
                    raise ValueError(f"has {len(fields)} columns, expected {len(columns)}")
                here, label, x1, x2, y1, y2 = [fields[place] for place in places]
                if here != image_id:
                    image_id, file = here, find(here) if here else None
                    image = -1 if file is None else listed.image(file, path)
                if image < 0:
                    lost += 1
                    first_lost = first_lost or here
                    continue
                if not label:
                    raise ValueError("has no LabelName")
                box = number(x1), number(y1), number(x2), number(y2)
                ignored = False
                for place in flags:
                    ignored |= _FLAG_VALUES[fields[place]]
            except (csv.Error, ValueError, KeyError) as error:
                fault = f"has {error} where 1, 0 or -1 is expected" if isinstance(error, KeyError) else error
                report(path, "bad-row", f"line {line}: {text:.100} {fault}; it is left out")
            else:
                listed.add(image, line, box, names.get(label, label), ignore=ignored)
    if lost:
        text = f"{lost} boxes are of images that are not there, the first {first_lost!r}; they are left out"
        report(path, "missing-image", text)
    unnamed = [name for name in listed.class_names if name not in set(names.values())]
    if unnamed:
        some = ", ".join(unnamed[:5]) + (", …" if len(unnamed) > 5 else "")
        text = (
            f"{len(unnamed)} labels have no name in a class-descriptions-boxable.csv and are called as they are: {some}"
        )
        report.note(path, "assumed", text)
    return listed


def add_images(path: Path, listed: ListedImages, report: Reports, *, find: Callable[[str], str | None]) -> None:
    """Add the images that a list of them names and that are there, which is said: they have no box."""
    before = len(listed.names)
    with opening(path):
        lines = iterate_lines(path)
        header = _split(next(lines, ""))
        if "ImageID" not in header:
            raise DataError(f"{path}: expected a header with the column ImageID")
        place = header.index("ImageID")
        for line in lines:
            fields = line.split(",", place + 1)
            if len(fields) > place and (file := find(fields[place])) is not None:
                listed.image(file, path)
    if count := len(listed.names) - before:
        report.note(
            path, "assumed", f"{count} images without a box, such as {listed.names[before]}: examples of background"
        )


_FLAG_VALUES = {"1": True, "0": False, "-1": False, "1.0": True, "0.0": False, "-1.0": False, "": False}


def _split(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    (fields,) = csv.reader([line], strict=True)
    return fields
