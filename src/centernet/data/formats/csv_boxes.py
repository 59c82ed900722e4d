"""CSV files with a box in each row: keras-retinanet's, TensorFlow's object detection, and others by their header."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...annotations.content import judge
from ...annotations.csv_boxes import CONVENTIONS, EMPTY, Convention, read_classes, read_csv, sniff, splits_of
from ...annotations.listed import ListedImages
from ...annotations.open_images import header_of
from ...annotations.problems import DataError, Reports, check_option
from ...images import IMAGE_SUFFIXES
from .layout import Folder, files_near, find_image_folder
from .listed import Listed

_SUFFIXES = (".jpg", ".png", ".jpeg")
_TABLES, _TEXTS, _MOST_SPLITS = (".csv", ".tsv"), 20, 6
CLASS_LISTS = ("classes.csv", "_classes.csv", "class_list.csv", "class_mapping.csv")


class CSV(Listed):
    """A CSV file with a box in each row; see `annotations.csv_boxes` for its forms.

    A row without a box is an image without objects. Boxes whose coordinates are all between 0 and 1 are shares of the
    width and height of their images. Rows with a column ``ignore``, ``iscrowd`` or ``difficult`` that says 1 are to be
    ignored.

    Args:
        annotations: the file.
        images: the folder that the images' names are relative to; None looks for it nearby.
        classes: a file with rows ``name,number``; None takes ``classes.csv`` (or ``_classes.csv``, ``class_list.csv``,
            ``class_mapping.csv``) beside the annotations or one level up, if there is one.
        split: reads the rows with this value in the column ``split``, ``subset``, ``set``, ``usage`` or ``partition``.
        convention: of boxes in pixels. ``edges``: the box from 0 to the width of the image is the whole image.
            ``inclusive``: the last pixel is part of the box, counted from 0. ``voc``: the same, counted from 1.
        class_names: None takes all: those of the list of classes in the order of their numbers, else those that occur
            in alphabetical order. Without a column of classes all boxes are of the one name given here.
        strict: the first problem is an error.
    """

    not_read = "columns other than the image, its size, the box, its class and ignore, iscrowd or difficult"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        classes: str | os.PathLike[str] | None = None,
        split: str | None = None,
        convention: Convention = "edges",
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path, report = Path(annotations), Reports(strict=strict)
        check_option("convention", convention in CONVENTIONS, f"one of {', '.join(CONVENTIONS)}", convention)
        columns = sniff(path)
        if isinstance(columns, str):
            raise DataError(f"{path.parent / columns}")
        if split is not None and split not in (known := splits_of(path, columns)):
            found = f"the values there are {', '.join(map(repr, known))}" if known else "it has no column of splits"
            raise DataError(f"{path}: no row of the split {split!r}; {found}")
        only_class = class_names[0] if class_names is not None and len(class_names) == 1 else None
        if "class" in columns.places:
            only_class = None
        elif only_class is None:
            text = "no column of classes (class, label, name, category …)"
            raise DataError(f"{path}: {text}; give one name as `class_names` if all boxes are of one class")
        near = (folder / name for folder in (path.parent, path.parent.parent) for name in CLASS_LISTS)
        file = Path(classes) if classes is not None else next((list for list in near if list.is_file()), None)
        numbers = None if file is None or only_class else read_classes(file)
        listed = read_csv(
            path,
            report,
            columns=columns,
            classes=numbers,
            list_name="" if file is None else file.name,
            convention=convention,
            only_class=only_class,
            split=split,
        )
        if not any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in listed.names):
            images = _find_by_stems(listed, path, images)
        super().__init__(listed, path, images, class_names, report)


def _find_by_stems(listed: ListedImages, path: Path, images: str | os.PathLike[str] | None) -> Path:
    """Give images that are named without a suffix the names of their files; return the folder of these."""
    names = [f"{name}{suffix}" for name in listed.names[:7] for suffix in _SUFFIXES]
    folder = Folder(find_image_folder(path, images, names))
    for image, name in enumerate(listed.names):
        files = (folder.find(f"{name}{suffix}") for suffix in _SUFFIXES)
        listed.names[image] = next(filter(None, files), name)
    return folder.root


def find_csv(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the arguments of `CSV` for each file of boxes, by its name or folder, or why none is such a file.

    Of text files a few are tried, in the folder itself.
    """
    found: dict[str, dict[str, Any]] = {}
    reasons = []
    files = [path] if path.is_file() and path.suffix.lower() in (*_TABLES, ".txt") else []
    if path.is_dir():
        files = [*files_near(path, [f"*{end}" for end in _TABLES]), *sorted(path.glob("*.txt"))[:_TEXTS]]
    for file in files:
        if file.name in CLASS_LISTS or header_of(file):
            continue  # the latter of Open Images
        columns, is_table = sniff(file), file.suffix.lower() in _TABLES
        if not is_table and judge(file).role != "boxes":
            continue  # a list of images
        if not isinstance(columns, str) or (is_table and columns.endswith(EMPTY)):  # empty: an error when it is opened
            alone = sum(other.parent == file.parent and other.name not in CLASS_LISTS for other in files) == 1
            name = file.parent.name if alone and file.parent != path and file != path else file.stem
            inside = [] if isinstance(columns, str) else splits_of(file, columns)
            if not found and 1 < len(inside) <= _MOST_SPLITS and all(inside):
                found = {split: {"annotations": file, "split": split} for split in inside}
            else:
                found[name if name not in found else str(file.relative_to(path))] = {"annotations": file}
        elif is_table:
            reasons.append(f"{file.parent / columns}")
    return found or "; ".join(reasons)
