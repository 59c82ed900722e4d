"""Safety-Helmet-Wearing-Dataset (https://github.com/njvisionpower/Safety-Helmet-Wearing-Dataset), the folder VOC2028.

The layout is Pascal VOC's, some images end in ``.JPG``. The boxes are those of heads: ``hat`` with a helmet, ``person``
without one. Copies of the data set that are still about have boxes of a class ``dog`` in 000377.xml; its author says
that these are ``hat`` (under issues/18 of that address), and they are read so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from .voc import VOC

HELMET_CLASSES = ("hat", "person")


class SafetyHelmet(VOC):
    """The Safety-Helmet-Wearing-Dataset: `VOC` with its two classes and its known slip put right.

    Args:
        root: the folder ``VOC2028``, or the one above it.
        split: the name of a list in ``ImageSets/Main`` (train, val, trainval, test), or None for all files.
        difficult: as in `VOC`.
        strict: the first problem is an error.

    Raises:
        DataError: as in `VOC`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = "train",
        *,
        difficult: Literal["ignore", "keep"] = "ignore",
        strict: bool = False,
    ) -> None:
        inside = Path(root) / "VOC2028"
        super().__init__(
            inside if inside.is_dir() else root,
            split,
            class_names=HELMET_CLASSES,
            rename={"dog": "hat"},
            difficult=difficult,
            strict=strict,
        )
