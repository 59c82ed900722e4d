"""A folder of pictures without annotations: to look at, to detect in, or as pictures without objects in training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...images import ImageError, image_size, list_images
from ..dataset import DetectionDataset
from ..sample import DataError
from .reading import Reports, Rows


class ImageFolder(DetectionDataset):
    """Every picture of a folder, sorted by name, with no boxes.

    Args:
        root: the folder.
        recursive: its subfolders too.
        class_names: of the data that it is used with. In training the pictures are examples of background only.
        strict: an unreadable picture is an error instead of a problem that leaves it out.

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
        report, rows = Reports(strict=strict), Rows()
        for number, path in enumerate(paths):
            try:
                size_hw = image_size(path)
            except ImageError as error:
                report(path, "unreadable-image", f"{str(error).removeprefix(f'{path}: ')}; the sample is left out")
                continue
            rows.add_image(path.relative_to(root).as_posix(), number, size_hw)
        super().__init__(class_names, rows.columns(root), source=root, problems=report.found, strict=strict)
