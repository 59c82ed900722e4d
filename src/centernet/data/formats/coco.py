"""COCO's format: one JSON file of annotations, and a folder of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...annotations.coco import CocoFile, CocoImage, is_whole, read_coco
from ...annotations.problems import DataError, Reports, choose_class_names, opening
from ...annotations.text import filled_lines
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import NO_FILE, ImageList, find_image_folder, missing, rows_asked_for


class COCO(DetectionDataset):
    """A data set in COCO's format.

    Images without annotations stay, as examples of background. Category ids may have gaps; they are kept in
    `category_ids` for results in COCO's form. Image ids are kept where all of them are whole numbers.

    Args:
        annotations: the JSON file.
        images: the folder that the file names are relative to; None looks beside the JSON file and one level up (the
            folder itself, ``images``, ``JPEGImages``, a folder of the split's name as in COCO's own layout).
        class_names: None takes all categories, in the order of their ids.
        subset: a text file with one file name a line: only these images.
        require_images: False takes images that are not there as well, to look at the annotations alone.
        strict: the first problem is an error.
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
        path, report = Path(annotations), Reports(strict=strict)
        file = read_coco(path, report)
        names = choose_class_names(class_names, file.categories, f"{path}: ", "categories of the file")
        entries = file.images if subset is None else _chosen(file.images, Path(subset), report)
        try:
            root = find_image_folder(path, images, [image.name for image in file.images[:20]])
        except DataError:
            if images is not None or require_images:
                raise
            root = path.parent
        rows = rows_asked_for(file.rows, tuple(file.categories), names, path, report)
        listed = ImageList(root, report)
        columns = _columns(replace(file, rows=rows), entries, path, listed, required=require_images)
        ids, source = [file.categories[name] for name in names], Path(subset or path)
        super().__init__(names, columns, source=source, category_ids=ids, **listed.findings())


def _chosen(images: Sequence[CocoImage], subset: Path, report: Reports) -> list[CocoImage]:
    """The images that a list of file names asks for, in its order."""
    with opening(subset, "subset"):
        names = dict.fromkeys(filled_lines(subset).values())
    by_name = {image.name: image for image in images}
    for name in names:
        if name not in by_name:
            report(subset, "unknown-image", f"no image of the JSON file has the file name {name!r}; it is left out")
    return [by_name[name] for name in names if name in by_name]


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
