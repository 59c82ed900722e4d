"""COCO's format: one JSON file of annotations, and a folder of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...annotations.coco import CocoFile, CocoImage, is_whole, read_coco
from ...annotations.problems import DataError, Reports, choose_class_names
from ...annotations.text import text_lines
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import NO_FILE, ImageList, find_image_folder, missing, rows_asked_for


class COCO(DetectionDataset):
    """A data set in COCO's format.

    What is wrong in it is left out and named in `problems` (and in one warning). Images without annotations stay, as
    examples of background. Boxes that reach over the edge are cut there. Category ids may have gaps: labels are
    contiguous in the order of the ids, or of `class_names`; the ids are kept in `category_ids` for results in COCO's
    form. Image ids are kept where all of them are whole numbers.

    Args:
        annotations: the JSON file.
        images: the folder that the file names are relative to; None looks beside the JSON file (the folder itself,
            ``images``, ``JPEGImages``, a folder of the split's name as in COCO's own layout; the same one level up).
        class_names: the classes in the order of their labels; annotations of other categories are left out and counted.
            None takes all categories.
        subset: a text file with one file name a line: only these images.
        require_images: False takes images that are not there as well, to look at the annotations alone.
        strict: the first problem is an error.

    Raises:
        DataError: no such file, no COCO JSON, no folder of images, or no usable image; with `strict` any problem.
    """

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        subset: str | os.PathLike[str] | None = None,
        require_images: bool = True,
        strict: bool = False,
    ) -> None:
        path, listed_in = Path(annotations), None if subset is None else Path(subset)
        report = Reports(strict=strict)
        file = read_coco(path, report)
        names = choose_class_names(class_names, file.categories, f"{path}: ", "categories of the file")
        entries = file.images if listed_in is None else _chosen(file.images, listed_in, report)
        try:
            root = _image_folder(path, None if images is None else Path(images), file.images)
        except DataError:
            if images is not None or require_images:
                raise
            root = path.parent
        rows = rows_asked_for(file.rows, tuple(file.categories), names, path, report)
        listed = ImageList(root, report)
        columns = _columns(replace(file, rows=rows), entries, path, listed, required=require_images)
        ids, findings = [file.categories[name] for name in names], listed.findings()
        super().__init__(names, columns, source=listed_in or path, category_ids=ids, **findings)


def _image_folder(path: Path, given: Path | None, images: Sequence[CocoImage]) -> Path:
    above = path.parent.parent
    split = path.stem.rpartition("_")[2]  # instances_train2017.json
    folders = [path.parent / name for name in ("", "images", "JPEGImages", split)]
    folders += [above / name for name in ("images", "JPEGImages", split, f"images/{split}")]
    return find_image_folder(given, folders, [image.name for image in images[:20]], path)


def _chosen(images: Sequence[CocoImage], subset: Path, report: Reports) -> list[CocoImage]:
    """The images that a list of file names asks for, in the order of the list."""
    try:
        lines = text_lines(subset)
    except OSError as error:
        raise DataError(f"{subset}: cannot be opened ({error.strerror}); check `subset`") from error
    by_name = {image.name: image for image in images}
    chosen = []
    for name in dict.fromkeys(line.strip() for line in lines if line.strip()):
        if name in by_name:
            chosen.append(by_name[name])
        else:
            report(subset, "unknown-image", f"no image of the JSON file has the file name {name!r}; it is left out")
    return chosen


def _columns(file: CocoFile, images: Sequence[CocoImage], path: Path, listed: ImageList, *, required: bool) -> Columns:
    """Find the images, and put their boxes together."""
    report = listed.report
    numbered = all(is_whole(image.id) for image in images)
    if not numbered:
        text = "not all image ids are whole numbers: images are numbered by their place in the file instead"
        report(path, "image-id", text)
    image_ids = []
    indices: dict[Any, int] = {}  # by id: of the sample, -1 where it is left out
    for image in images:
        if image.id in indices:
            text = f"images[{image.place}] ({image.name}) has the id {image.id!r} of another; it is left out"
            report(path, "duplicate", text)
            continue
        here = required or missing(image.name) != NO_FILE
        found = listed.find(image.name) if here else listed.folder.find(image.name) or image.name
        stated = f"{path.name} gives it the size {image.height}×{image.width}"
        index = -1 if found is None else listed.add(found, image.size_hw, stated=stated)
        indices[image.id] = index
        image_ids += [image.id if numbered else image.place] if index >= 0 else []
    index_of = np.array([indices.get(image.id, -1) for image in file.images], dtype=np.int64)
    rows = replace(file.rows, images=index_of[file.rows.images])

    def where(row: int) -> tuple[Path, str]:
        return path, f"{file.where(int(rows.places[row]))} of {file.images[file.rows.images[row]].name}"

    return listed.columns(rows, where, image_ids=image_ids, unreadable=file.unreadable)
