"""COCO's format: one JSON file of annotations, and a folder of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...annotations.coco import CocoFile, CocoImage, read_coco, whole_number
from ...annotations.keypoints import keypoint_column
from ...annotations.problems import DataError, Reports, choose_class_names, opening
from ...annotations.rows import BoxRows
from ...annotations.text import filled_lines
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import NO_FILE, Folder, ImageList, find_image_folder, missing, rows_asked_for

ROUNDING = 1.0  # pixels by which a box reaches over the edge whose corner and size are rounded each


class COCO(DetectionDataset):
    """A data set in COCO's format.

    Images without annotations stay, as examples of background. Category ids may have gaps; they are kept in
    `category_ids` for results in COCO's form. Image ids are kept where all of them are whole numbers. A file that is
    listed under several ids is one image with the boxes of all.

    Args:
        annotations: the JSON file, also compressed (``.json.gz``).
        images: the folder that the file names are relative to; None looks beside the JSON file and one level up (the
            folder itself, ``images``, ``JPEGImages``, a folder of the split's name as in COCO's own layout).
        class_names: None takes all categories, in the order of their ids, but for those without a box that are the
            supercategory of others.
        subset: a text file with one file name a line: only these images.
        keypoints: read those that categories name, as the field ``keypoints``; where categories have different ones,
            those that most annotations have. False leaves them out.
        require_images: False takes images that are not there as well, to look at the annotations alone.
        strict: the first problem is an error.
    """

    not_read = "masks, licences and the ids of annotations"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        subset: str | os.PathLike[str] | None = None,
        keypoints: bool = True,
        require_images: bool = True,
        strict: bool = False,
    ) -> None:
        path, report = Path(annotations), Reports(strict=strict)
        file = read_coco(path, report, keypoints=keypoints)
        names = choose_class_names(class_names, file.categories, f"{path}: ", "categories of the file")
        if class_names is None:
            names = tuple(name for name in names if file.categories[name] not in file.parents)
            for text in file.parents.values():
                report.note(path, "left-out-class", f"{text}; class_names takes it")
        entries = file.images if subset is None else _chosen(file.images, Path(subset), report)
        try:
            root = find_image_folder(path, images, [image.name for image in file.images[:20]])
        except DataError:
            if images is not None or require_images:
                raise
            root = path.parent
        rows = rows_asked_for(file.rows, tuple(file.categories), names, path, report)
        fields = [keypoint_column(file.skeleton)] if file.skeleton and not set(file.posed).isdisjoint(names) else []
        if not fields:
            rows = replace(rows, data={})
        listed = ImageList(root, report)
        columns = _columns(replace(file, rows=rows), entries, path, listed, required=require_images)
        ids, source = [file.categories[name] for name in names], Path(subset or path)
        super().__init__(names, columns, source=source, category_ids=ids, fields=fields, **listed.findings())


def _chosen(images: Sequence[CocoImage], subset: Path, report: Reports) -> list[CocoImage]:
    """The images that a list of file names asks for, in its order."""
    with opening(subset, "subset"):
        names = dict.fromkeys(filled_lines(subset).values())
    by_name: dict[str, list[CocoImage]] = {}
    for image in images:
        by_name.setdefault(image.name, []).append(image)  # under several ids, perhaps
    for name in names:
        if name not in by_name:
            report(subset, "unknown-image", f"no image of the JSON file has the file name {name!r}; it is left out")
    return [image for name in names for image in by_name.get(name, ())]


def _columns(file: CocoFile, images: Sequence[CocoImage], path: Path, listed: ImageList, *, required: bool) -> Columns:
    """Find the images, and put their boxes together."""
    report = listed.report
    numbers = [whole_number(image.id) for image in images]
    numbered = None not in numbers and len(set(numbers)) == len({image.id for image in images})
    if not numbered:
        text = "not all image ids are whole numbers: images are numbered by their place in the file instead"
        report(path, "image-id", text)
    image_ids: list[int] = []
    indices: dict[Any, int] = {}  # by id: of the sample, -1 where it is left out
    files: dict[str, CocoImage] = {}
    for image, number in zip(images, numbers, strict=True):
        if image.id in indices:
            text = f"images[{image.place}] ({image.name}) has the id {image.id!r} of another; it is left out"
            report(path, "duplicate", text)
            continue
        here = required or missing(image.name) != NO_FILE
        name = _inside(image.name, path, listed.folder)
        found = listed.find(name) if here else listed.folder.find(name) or name
        if found in files:
            indices[image.id] = indices[files[found].id]
            report(path, "duplicate", _said_twice(image, files[found]))
            continue
        stated = f"{path.name} gives it the size {image.height}×{image.width}"
        index = -1 if found is None else listed.add(found, image.size_hw, stated=stated)
        indices[image.id] = index
        if found is not None and index >= 0:
            files[found] = image
            image_ids.append(number if numbered and number is not None else image.place)
    index_of = np.array([indices.get(image.id, -1) for image in file.images], dtype=np.int64)
    rows = _once_each(file.rows, index_of)
    if len(rows) < len(file.rows):
        text = f"{len(file.rows) - len(rows)} boxes are there under two ids of one file; they count once"
        report.note(path, "duplicate", text)

    def where(row: int) -> tuple[Path, str]:
        return path, f"{file.where(int(rows.places[row]))} of {listed.names[rows.images[row]]}"

    return listed.columns(rows, where, image_ids=image_ids, unreadable=file.unreadable, rounding=ROUNDING)


def _inside(name: str, path: Path, folder: Folder) -> str:
    """Return the name of an image in its folder where it is stated as seen from the JSON file, or the folder above."""
    for beside in (path.parent, path.parent.parent) if folder.find(name) is None else ():
        there = os.path.relpath(beside / name.replace("\\", "/"), folder.root)
        if folder.find(there) is not None:  # and so inside
            return there
    return name


def _said_twice(image: CocoImage, first: CocoImage) -> str:
    texts = [f"images[{entry.place}] (id {entry.id!r})" for entry in (image, first)]
    other = "" if image.size_hw == first.size_hw else f", though of the size {image.height}×{image.width}"
    return f"{texts[0]} is the file {image.name} of {texts[1]}{other}: one image with the boxes of both"


def _once_each(rows: BoxRows, index_of: NDArray[np.int64]) -> BoxRows:
    """Return the rows with indices of samples; a box that is there under two ids of one file counts once."""
    images = index_of[rows.images]
    several = np.bincount(index_of[index_of >= 0], minlength=1) > 1  # by sample: it has more than one id
    kept = np.ones(len(rows), dtype=np.bool_)
    first_id: dict[tuple[int, ...], int] = {}
    for row in np.flatnonzero((images >= 0) & several[images]).tolist() if several.any() else ():
        key = (int(images[row]), int(rows.labels[row]), *rows.boxes[row].tolist())
        kept[row] = first_id.setdefault(key, int(rows.images[row])) == rows.images[row]
    return replace(rows, images=images).select(kept)
