"""A folder of images without annotations: to look at, to detect in, or as images without objects in training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...annotations.problems import DataError, Reports
from ...images import ImageError, list_images
from ..dataset import DetectionDataset
from .layout import ImageList


class ImageFolder(DetectionDataset):
    """Every image of a folder, sorted by name, with no boxes.

    Args:
        root: the folder.
        recursive: its subfolders too.
        class_names: of the data that it is used with. In training the images are examples of background only.
        strict: the first problem is an error.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        recursive: bool = False,
        class_names: Sequence[str] = (),
        strict: bool = False,
    ) -> None:
        root = Path(root)
        try:
            paths = list_images(root, recursive=recursive)
        except ImageError as error:
            raise DataError(str(error)) from error
        images = ImageList(root, Reports(strict=strict))
        for name in sorted(path.relative_to(root).as_posix() for path in paths):  # the order of training stays
            images.add(name)
        super().__init__(class_names, images.columns(), source=root, **images.findings())
