"""A data set of what a parser lists: the common part of the formats whose files say all about their images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...annotations.listed import ListedImages
from ...annotations.problems import DataError, Reports, choose_class_names
from ..dataset import DetectionDataset, VideoSequence
from .layout import ImageList, find_image_folder, rows_asked_for


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
            raise DataError(f"{source}: no class in it, neither listed nor of a box; is the export complete?")
        known = listed.class_names if listed.declared else sorted(listed.class_names)
        names = choose_class_names(class_names, known, f"{source}: ", "classes there")
        rows = rows_asked_for(listed.rows.rows(), listed.class_names, names, source, report)
        found = ImageList(find_image_folder(source, images, listed.names[:20]), report)
        index_of = np.full(len(listed.names) + 1, -1, dtype=np.int64)
        for place, (name, size_hw) in enumerate(zip(listed.names, listed.sizes, strict=True)):
            if (file := found.find(name)) is not None:
                index_of[place] = found.add(file, size_hw)

        def where(row: int) -> tuple[Path, str]:
            image = int(rows.images[row])
            return listed.files[image], f"{listed.unit} {rows.places[row]} of {listed.names[image]}"

        columns = found.columns(replace(rows, images=index_of[rows.images]), where)
        videos = []
        for name, start, stop, rate in listed.videos:
            used = index_of[start:stop][index_of[start:stop] >= 0]
            videos += [VideoSequence(name, int(used[0]), int(used[-1]) + 1, rate)] if len(used) else []
        super().__init__(names, columns, source=source, sequences=videos, benchmark=benchmark, **found.findings())
