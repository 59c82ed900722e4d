"""A data set of what a parser lists: the common part of the formats whose files say all about their images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...annotations.keypoints import keypoint_column
from ...annotations.listed import ListedImages
from ...annotations.problems import DataError, Reports, choose_class_names, describe_problems
from ..dataset import DetectionDataset, VideoSequence
from .layout import Folder, ImageList, find_image_folder, rows_asked_for
from .sequences import numbered


class Listed(DetectionDataset):
    """The images and boxes that a parser has found, with the files of the images.

    Args:
        listed: what was parsed.
        source: the file or folder that it is from.
        images: the folder that the images' names are relative to; None looks for it nearby.
        class_names: None takes all: in the order of the files where they list them, else in alphabetical order.
        report: the parser's problems.
        benchmark: as in `DetectionDataset`.
    """

    def __init__(
        self,
        listed: ListedImages,
        source: Path,
        images: str | os.PathLike[str] | None,
        class_names: Sequence[str] | None,
        report: Reports,
        *,
        benchmark: str | None = None,
    ) -> None:
        if not listed.class_names:
            reasons = "\n".join(describe_problems(report.found, 5))
            raise DataError(f"{source}: no class in it, neither listed nor of a box; is the export complete? {reasons}")
        known = listed.class_names if listed.declared else sorted(listed.class_names)
        names = choose_class_names(class_names, known, f"{source}: ", "classes there")
        rows = rows_asked_for(listed.box_rows(), listed.class_names, names, source, report)
        found = ImageList(find_image_folder(source, images, listed.names[:20]), report)
        index_of = np.full(len(listed.names) + 1, -1, dtype=np.int64)
        added: dict[str, int] = {}  # one file may be named in two ways
        for place, (name, size_hw) in enumerate(zip(listed.names, listed.sizes, strict=True)):
            if name and (file := found.find(name)) is not None:
                if file not in added:
                    added[file] = found.add(file, size_hw)
                index_of[place] = added[file]

        def where(row: int) -> tuple[Path, str]:
            image = int(rows.images[row])
            return listed.files[image], f"{listed.unit} {rows.places[row]} of {listed.names[image]}"

        indices = index_of[rows.images]
        if listed.normalised:
            across = np.array([*found.sizes, (1, 1)])[indices][:, [1, 0, 1, 0]]  # of an image that isn't there: 1
            rows = replace(rows, boxes=rows.boxes * across)
        columns = found.columns(replace(rows, images=indices), where)
        columns = replace(columns, ids=numbered(columns.ids, columns.ids, columns.ignore))
        videos = []
        for name, start, stop, rate in listed.videos:
            used = index_of[start:stop][index_of[start:stop] >= 0]
            videos += [VideoSequence(name, int(used[0]), int(used[-1]) + 1, rate)] if len(used) else []
        fields = [] if listed.skeleton is None else [keypoint_column(listed.skeleton)]
        options = found.findings() | {"sequences": videos, "benchmark": benchmark, "fields": fields}
        super().__init__(names, columns, source=source, **options)


def choose_files(
    folder: Path, names: Sequence[Sequence[str]], files: Sequence[Path], report: Reports
) -> list[str | None]:
    """Return the file of each image, of the names that it may have; None where there is none, or several.

    A name is a path in the folder, or stands for the one image that ends like it and is no other's. Of images that are
    found as one file the first counts; the others are reported, and their name is empty.
    """
    there, taken = Folder(folder), dict[str, str]()
    chosen = [next(filter(None, map(there.find, several)), None) for several in names]
    exact = set(chosen)
    for place, several in enumerate(names):
        found = chosen[place]
        if found is None:
            near = (alike[0] for name in several if len(alike := there.find_near(name)) == 1)
            found = chosen[place] = next((file for file in near if file not in exact), None)
        if found is not None and (other := taken.setdefault(found, several[0])) != several[0]:
            text = f"{several[0]} and {other} are both found as {folder / found}; the former is left out"
            report(files[place], "duplicate", text)
            chosen[place] = ""
    return chosen
