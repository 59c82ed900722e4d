"""The stored annotation of an image, and the image with its boxes on the way to the network.

Boxes are ``x1 y1 x2 y2`` in continuous pixel coordinates of the upright image. One with `ignore` set (crowd, difficult,
hidden, cut away) trains neither as an object nor as background, and is no false positive in evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..column import Column
from ..images import LazyImage
from .fields import moved

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float32]"
Ints: TypeAlias = "NDArray[np.int64]"
Shares: TypeAlias = "NDArray[np.float64]"
Bools: TypeAlias = "NDArray[np.bool_]"
Pixels: TypeAlias = "NDArray[np.uint8]"

COLUMNS = ("boxes", "labels", "ids", "ignore", "areas", "difficulty")
"""Fields of an annotation with an entry for each box."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """The stored truth about one image, in original pixels of the upright image. Its arrays are read-only.

    Attributes:
        path: the image's file; for a rendered image a name that no file has.
        image_id: unique in the data set; for COCO the file's own.
        boxes: float32 N×4, inside the image; those of an amodal data set may reach over its edges.
        labels: int64 N, an index into the data set's `class_names`; -1 (any class) is allowed where `ignore` is set.
        ids: int64 N, identities; -1 where there is none.
        ignore: bool N.
        areas: float32 N, square pixels: the format's own (COCO's is that of the mask), else that of the box.
        difficulty: int8 N, the lowest level of the format's benchmark at which an object counts; 0 if not given.
            KITTI: 0 easy, 1 moderate, 2 hard, 3 at no level.
        data: by name, an array with a row for each box: what the data set's `fields` describe, such as keypoints.
    """

    path: Path
    image_id: int
    height: int
    width: int
    boxes: Floats
    labels: Ints
    ids: Ints
    ignore: Bools
    areas: Floats
    difficulty: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.difficulty):
            object.__setattr__(self, "difficulty", np.zeros(len(self.labels), np.int8))
        for name in COLUMNS:
            object.__setattr__(self, name, _read_only(getattr(self, name)))
        if self.data:
            object.__setattr__(self, "data", {name: _read_only(array) for name, array in self.data.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return Annotation, tuple(vars(self).values())  # by the constructor, which makes the arrays read-only

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, rows: NDArray[Any], **changes: Any) -> Annotation:
        """Return the annotation with the boxes `rows` (indices or a mask), and with other values for some fields."""
        data = {name: array[rows] for name, array in self.data.items()}
        return replace(self, **({name: getattr(self, name)[rows] for name in COLUMNS} | {"data": data} | changes))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


class Sample:
    """An image with its boxes, on the way to the network. Transforms return a new one.

    The image is decoded when `image` or `read` asks for it; a pickled sample carries its pixels.

    Args:
        image: uint8 H×W×3, RGB; or an image that is decoded later.
        boxes: float32 N×4, in the pixels of `image` (not of the file).
        labels: int64 N, as in Annotation, like `ids` and `ignore`.
        ids: int64 N.
        ignore: bool N.
        annotation: the stored truth; transforms pass it on unchanged.
        amodal: boxes are those of whole objects, over the edges of the image too; augmentation doesn't cut them.
        data: by name, an array with a row for each box; points and boxes in it are in the pixels of `image`.
        fields: what they are, as in the data set.
    """

    def __init__(
        self,
        image: Pixels | LazyImage,
        boxes: Floats,
        labels: Ints,
        ids: Ints,
        ignore: Bools,
        annotation: Annotation,
        amodal: bool = False,
        data: Mapping[str, NDArray[Any]] | None = None,
        fields: tuple[Column, ...] = (),
    ) -> None:
        self._pixels = None if isinstance(image, LazyImage) else image
        self._lazy = image if isinstance(image, LazyImage) else LazyImage.of(image)
        self.boxes, self.labels, self.ids, self.ignore = boxes, labels, ids, ignore
        self.annotation, self.amodal = annotation, amodal
        self.data, self.fields = dict(data or {}), fields

    @property
    def image(self) -> Pixels:
        """uint8 H×W×3, RGB. Raises ImageError where it cannot be read."""
        if self._pixels is None:
            self._pixels = np.require(self._lazy.read()[0], requirements="W")
            self._lazy = LazyImage.of(self._pixels)
        return self._pixels

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of `image`, which is not decoded for that."""
        return self._lazy.size_hw

    def read(self, scale: float = 1.0) -> tuple[Pixels, tuple[float, float]]:
        """Return the image, perhaps reduced: see `LazyImage.read`. The pixels are not to be written to."""
        return self._lazy.read(scale)

    def select(
        self,
        rows: NDArray[Any],
        *,
        image: Pixels,
        boxes: Floats,
        ignore: Bools | None = None,
        matrix: NDArray[Any] | None = None,
    ) -> Sample:
        """Return the sample with another image, whose boxes are those of `rows` (indices or a mask) in the new pixels.

        Of M rows, `boxes` (float32 M×4) and `ignore` (bool M; None takes over the flags) are in the same order. By the
        `matrix`, 2×3 from the old pixels to the new, keypoints move; a DataError where there are some and no matrix.
        """
        ignore = self.ignore[rows] if ignore is None else ignore
        changes = {"image": image, "boxes": boxes, "labels": self.labels[rows], "ids": self.ids[rows], "ignore": ignore}
        if self.data:
            data = {name: array[rows] for name, array in self.data.items()}
            changes["data"] = moved(data, self.fields, matrix, (image.shape[0], image.shape[1]))
        return self.replace(**changes)

    def replace(self, **changes: Any) -> Sample:
        """Return the sample with other values for some of the constructor's arguments."""
        names = ("boxes", "labels", "ids", "ignore", "annotation", "amodal", "data", "fields")
        return Sample(**({"image": self._lazy} | {name: getattr(self, name) for name in names} | changes))

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = self.boxes, self.labels, self.ids, self.ignore
        return Sample, (self.image, *arrays, self.annotation, self.amodal, self.data, self.fields)
