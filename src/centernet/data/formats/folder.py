"""A folder of images without annotations: to look at, to detect in, or as images without objects in training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...annotations.problems import DataError, Reports
from ...annotations.rows import RowList
from ...images import ImageError, list_images
from ..dataset import DetectionDataset
from .layout import ImageList, own_size


class ImageFolder(DetectionDataset):
    """Every image of a folder, sorted by name, with no boxes.

    Args:
        root: the folder.
        recursive: its subfolders too.
        class_names: of the data that it is used with. In training the images are examples of background only.
        strict: an unreadable image is an error instead of a problem that leaves it out.

    Raises:
        DataError: no such folder, or no usable image in it.
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
        report, images = Reports(strict=strict), ImageList(root)
        for path in paths:
            size_hw = own_size(path, report)
            if size_hw is not None:
                images.add(path.relative_to(root).as_posix(), size_hw)
        columns = images.columns(RowList().rows(), lambda row: (root, ""), report)
        super().__init__(class_names, columns, source=root, problems=report.found, strict=strict)
