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
from .layout import Folder, ImageList, find_image_folder, leads_out, own_size


class CrowdHuman(DetectionDataset):
    """A data set in CrowdHuman's format, with one class: ``person``, or ``head`` where the boxes are those of heads.

    What is wrong in it is left out and named in `problems` (and in one warning): a line that is no JSON object, a
    missing picture and an ID that is there twice leave out the sample; an unknown tag and a box that is inverted,
    without area, outside its picture or no number leave out the box.

    Args:
        annotations: the ``.odgt`` file.
        images: the folder of the pictures; None looks for ``Images``, ``images`` or a folder of the split's name beside
            the file, and one level up.
        box: which of the three boxes. Heads that say ``ignore`` themselves are to be ignored where this is ``head``.
        amodal: boxes that reach over the edge of the picture are kept whole (see `DetectionDataset.amodal`), not cut.
        strict: the first problem is an error.

    Raises:
        DataError: no such file, no line of it in this format, no folder of pictures, or no usable image; with
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
        report = Reports(strict=strict)
        file = read_crowdhuman(path, report, box=box)
        folder = Folder(_image_folder(path, None if images is None else Path(images), file.names[:20]))
        listed = ImageList(folder.root)
        numbers = np.full(len(file.names), -1, dtype=np.int64)
        for index, name in enumerate(file.names):
            found = _find_image(folder, name, report)
            size_hw = None if found is None else own_size(folder.root / found, report)
            if found is not None and size_hw is not None:
                numbers[index] = listed.add(found, size_hw)
        rows = replace(file.rows, images=numbers[file.rows.images])
        super().__init__(
            ("head" if box == "head" else "person",),
            listed.columns(rows, lambda row: (path, file.where(row)), report, amodal=amodal),
            source=path,
            problems=report.found,
            strict=strict,
            amodal=amodal,
            clipped=listed.clipped,
            benchmark="crowdhuman",
        )


def _image_folder(path: Path, given: Path | None, names: Sequence[str]) -> Path:
    split = path.stem.rpartition("_")[2]  # annotation_train.odgt
    inside = ("Images", "images", "", split, f"Images/{split}", f"images/{split}", f"{split}/Images")
    folders = [root / name for root in (path.parent, path.parent.parent) for name in inside]
    files = [f"{name}.jpg" for name in names]
    return find_image_folder(given, folders, files, meaning="the folder of the files <ID>.jpg", source=path)


def _find_image(folder: Folder, name: str, report: Reports) -> str | None:
    for suffix in (".jpg", ".jpeg", ".png"):
        found = folder.find(f"{name}{suffix}")
        if found is not None:
            return found
    reason = "the ID leads out of the folder of images, which is refused" if leads_out(name) else "no such file"
    report(folder.root / f"{name}.jpg", "missing-image", f"{reason}; the sample is left out")
    return None
