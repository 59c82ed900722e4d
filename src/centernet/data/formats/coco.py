"""COCO's format: one JSON file of annotations, and a folder of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...annotations.coco import CocoFile, CocoImage, is_whole, read_coco
from ...annotations.problems import DataError, Reports, check_class_names, with_nearest
from ...annotations.text import text_lines
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import Folder, ImageList, find_image_folder, header_size, leads_out


class COCO(DetectionDataset):
    """A data set in COCO's format.

    What is wrong in it is left out and named in `problems` (and in one warning): a missing picture leaves out the
    sample; an unknown category or image, and a box that is inverted, without area, outside its picture or no number,
    leave out the annotation. Pictures without annotations stay, as examples of background. Boxes that reach over the
    edge are cut there.

    Category ids may have gaps: labels are contiguous in the order of the ids, or of `class_names`; the ids are kept in
    `category_ids` for results in COCO's form. Image ids are kept where all of them are whole numbers.

    Args:
        annotations: the JSON file.
        images: the folder that the file names are relative to; None looks beside the JSON file (the folder itself,
            ``images``, ``JPEGImages``, a folder of the split's name as in COCO's own layout; the same one level up).
        class_names: the classes in the order of their labels; annotations of other categories are left out and counted.
            None takes all categories.
        subset: a text file with one file name a line: only these pictures.
        require_images: False takes pictures that are not there as well, to look at the annotations alone.
        strict: the first problem is an error.

    Raises:
        DataError: no such file, no COCO JSON, no folder of pictures, or no usable image; with `strict` any problem.
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
        path = Path(annotations)
        report = Reports(strict=strict)
        file = read_coco(path, report)
        names = tuple(file.categories) if class_names is None else check_class_names(class_names)
        unknown = [name for name in names if name not in file.categories]
        if unknown:
            raise DataError(
                f"{path}: class_names has {with_nearest(unknown, tuple(file.categories))}, "
                f"but the categories of the file are {', '.join(file.categories)}"
            )
        entries = file.images if subset is None else _chosen(file.images, Path(subset), report)
        try:
            root = _image_folder(path, None if images is None else Path(images), file.images)
        except DataError:
            if images is not None or require_images:
                raise
            root = path.parent
        label_of = np.array([names.index(name) if name in names else -1 for name in file.categories], dtype=np.int64)
        counts = np.bincount(file.rows.labels, minlength=len(label_of)).tolist()
        left_out = {name: n for name, label, n in zip(file.categories, label_of, counts, strict=True) if label < 0 < n}
        report.left_out(path, left_out)
        file = replace(file, rows=replace(file.rows, labels=label_of[file.rows.labels]))
        listed = ImageList(root)
        columns = _columns(file, entries, path, listed, report, required=require_images)
        super().__init__(
            names,
            columns,
            source=path if subset is None else Path(subset),
            problems=report.found,
            strict=strict,
            category_ids=[file.categories[name] for name in names],
            clipped=listed.clipped,
        )


def _image_folder(path: Path, given: Path | None, images: Sequence[CocoImage]) -> Path:
    above = path.parent.parent
    split = path.stem.rpartition("_")[2]  # instances_train2017.json
    folders = [path.parent / name for name in ("", "images", "JPEGImages", split)]
    folders += [above / name for name in ("images", "JPEGImages", split, f"images/{split}")]
    meaning = "the folder that the file names are relative to"
    return find_image_folder(given, folders, [image.name for image in images[:20]], meaning=meaning, source=path)


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


def _columns(
    file: CocoFile,
    images: Sequence[CocoImage],
    path: Path,
    listed: ImageList,
    report: Reports,
    *,
    required: bool,
) -> Columns:
    """Find the images, and put their boxes together."""
    numbered = all(is_whole(image.id) for image in images)
    if not numbered:
        text = "not all image ids are whole numbers: images are numbered by their place in the file instead"
        report(path, "image-id", text)
    folder, image_ids = Folder(listed.root), []
    numbers: dict[Any, int] = {}  # by id: the number of the sample, -1 where it is left out
    for image in images:
        if image.id in numbers:
            text = f"images[{image.place}] ({image.name}) has the id {image.id!r} of another; it is left out"
            report(path, "duplicate", text)
            continue
        numbers[image.id] = -1
        found = folder.find(image.name)
        climbs = found is None and leads_out(image.name)
        if found is None and not (required or climbs):
            found = image.name
        if found is None:
            reason = "the name leads out of the folder of images, which is refused" if climbs else "no such file"
            report(folder.root / image.name, "missing-image", f"{reason}; the sample is left out")
            continue
        stated = f"{path.name} gives it the size {image.height}×{image.width}"
        size_hw = image.size_hw or header_size(folder.root / found, stated, report)
        if size_hw is not None:
            numbers[image.id] = listed.add(found, size_hw)
            image_ids.append(image.id if numbered else image.place)
    number_of = np.array([numbers.get(image.id, -1) for image in file.images], dtype=np.int64)
    for index, place, box in file.bad_boxes:
        if number_of[index] >= 0:
            text = f"{file.where(place)} of {file.images[index].name}: bbox is {box}, expected four numbers"
            report(path, "bad-box", f"{text}; the box is left out")
    asked = file.rows.select(file.rows.labels >= 0)
    rows = replace(asked, images=number_of[asked.images])

    def where(row: int) -> tuple[Path, str]:
        name = file.images[int(asked.images[row])].name
        return path, f"{file.where(int(rows.places[row]))} of {name}"

    return listed.columns(rows, where, report, image_ids=image_ids)
