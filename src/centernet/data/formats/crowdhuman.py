"""CrowdHuman (Shao et al., 2018, arXiv:1805.00123; https://www.crowdhuman.org).

Layout::

    root/annotation_train.odgt
    root/Images/<ID>.jpg
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...annotations.crowdhuman import BOX_KEYS, read_crowdhuman
from ...annotations.problems import DataError, Reports
from ..dataset import DetectionDataset
from .layout import ImageList, find_image_folder


class CrowdHuman(DetectionDataset):
    """A data set in CrowdHuman's format, with one class: ``person``, or ``head`` where the boxes are those of heads.

    What is wrong in it is left out and named in `problems` (and in one warning).

    Args:
        annotations: the ``.odgt`` file.
        images: the folder of the images; None looks for ``Images``, ``images`` or a folder of the split's name beside
            the file, and one level up.
        box: which of the three boxes. Heads that say ``ignore`` themselves are to be ignored where this is ``head``.
        amodal: boxes that reach over the edge of the image are kept whole (see `DetectionDataset.amodal`), not cut.
        strict: the first problem is an error.

    Raises:
        DataError: no such file, no line of it in this format, no folder of images, or no usable image; with
            `strict` any problem.
    """

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        box: Literal["full", "visible", "head"] = "full",
        amodal: bool = False,
        strict: bool = False,
    ) -> None:
        path = Path(annotations)
        if box not in BOX_KEYS:
            raise DataError(f"box: expected one of {', '.join(BOX_KEYS)}, got {box!r}")
        file = read_crowdhuman(path, report := Reports(strict=strict), box=box)
        names, lines = [*file.lines], [*file.lines.values()]
        listed = ImageList(_image_folder(path, None if images is None else Path(images), names[:20]), report)
        indices = np.full(len(names), -1, dtype=np.int64)
        for place, name in enumerate(names):
            suffixes = (".jpeg", ".png") if listed.folder.find(f"{name}.jpg") is None else ()
            other = next(filter(None, (listed.folder.find(f"{name}{suffix}") for suffix in suffixes)), None)
            found = other or listed.find(f"{name}.jpg")
            if found is not None:
                indices[place] = listed.add(found)
        rows = replace(file.rows, images=indices[file.rows.images])

        def where(row: int) -> tuple[Path, str]:
            image = int(file.rows.images[row])
            return path, f"line {lines[image]} ({names[image]}), box {rows.places[row]}"

        columns = listed.columns(rows, where, amodal=amodal)
        name = "head" if box == "head" else "person"
        super().__init__([name], columns, source=path, amodal=amodal, benchmark="crowdhuman", **listed.findings())


def _image_folder(path: Path, given: Path | None, names: Sequence[str]) -> Path:
    split = path.stem.rpartition("_")[2]  # annotation_train.odgt
    inside = ("Images", "images", "", split, f"Images/{split}", f"images/{split}", f"{split}/Images")
    folders = [root / name for root in (path.parent, path.parent.parent) for name in inside]
    return find_image_folder(given, folders, [f"{name}.jpg" for name in names], path)
