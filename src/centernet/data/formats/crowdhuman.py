"""CrowdHuman (Shao et al., 2018, arXiv:1805.00123; https://www.crowdhuman.org)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...annotations.crowdhuman import BOX_KEYS, read_crowdhuman
from ...annotations.problems import DataError, Reports
from ..dataset import DetectionDataset
from .layout import ImageList, find_image_folder

_SUFFIXES = (".jpg", ".jpeg", ".png")


class CrowdHuman(DetectionDataset):
    """A data set in CrowdHuman's format, with one class: ``person``, or ``head`` where the boxes are those of heads.

    Args:
        annotations: the ``.odgt`` file.
        images: the folder of the images; None looks for ``Images``, ``images`` or a folder of the split's name beside
            the file, and one level up.
        box: which of the three boxes. Heads that say ``ignore`` themselves are to be ignored where this is ``head``.
        amodal: boxes are kept whole where they reach over the edges of their images.
        strict: the first problem is an error.
    """

    not_read = "the other two boxes of each person, and their attributes"

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
        lines, rows = read_crowdhuman(path, report := Reports(strict=strict), box=box)
        names = list(lines)
        files = [f"{name}{suffix}" for name in names[:20] for suffix in _SUFFIXES]
        listed = ImageList(find_image_folder(path, images, files), report)
        indices = np.full(len(names), -1, dtype=np.int64)
        for place, name in enumerate(names):
            there = filter(None, (listed.folder.find(f"{name}{suffix}") for suffix in _SUFFIXES))
            found = next(there, None) or listed.find(f"{name}.jpg")
            if found is not None:
                indices[place] = listed.add(found)

        def where(row: int) -> tuple[Path, str]:
            name = names[rows.images[row]]
            return path, f"line {lines[name]} ({name}), box {rows.places[row]}"

        columns = listed.columns(replace(rows, images=indices[rows.images]), where, amodal=amodal)
        name = "head" if box == "head" else "person"
        super().__init__([name], columns, source=path, amodal=amodal, benchmark="crowdhuman", **listed.findings())
