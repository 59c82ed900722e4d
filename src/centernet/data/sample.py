"""What a data set hands out: the stored annotation of a picture, the picture with its boxes, and what was wrong.

Boxes are float32 ``x1 y1 x2 y2`` in continuous pixel coordinates of the upright picture (EXIF applied; a full picture
is ``0 0 W H``). A box with `ignore` set (crowd, difficult, hidden, cut away) trains neither as an object nor as
background, and is no false positive in evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..images import LazyImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float32]"
Ints: TypeAlias = "NDArray[np.int64]"
Shares: TypeAlias = "NDArray[np.float64]"
Bools: TypeAlias = "NDArray[np.bool_]"
Pixels: TypeAlias = "NDArray[np.uint8]"


class DataWarning(UserWarning):
    """Something in a data set was left out or put right; the message names it."""


class DataError(ValueError):
    """A data set that cannot be used; the message names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class Problem:
    """One defect of a data set, and what was done about it.

    Attributes:
        path: the file it is in.
        kind: a short word for counting: ``missing-image``, ``missing-annotation``, ``unreadable-image``,
            ``unreadable-annotation``, ``size``, ``inverted-box``, ``empty-box``, ``outside-box``, ``bad-box``,
            ``bad-row``, ``unknown-class``, ``left-out-class``, ``unknown-image``, ``unknown-key``, ``image-id`` or
            ``duplicate``.
        message: what is wrong, where in the file, and what became of it.
    """

    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True, eq=False)
class Annotation:
    """The stored truth about one picture, in original pixels: what evaluation compares with. Its arrays are read-only.

    Attributes:
        path: the picture's file; for a rendered picture a name that no file has.
        image_id: unique in the data set; for COCO the file's own.
        height: of the upright picture.
        width: of the upright picture.
        boxes: float32 N×4, inside the picture; those of an amodal data set may reach over its edges.
        labels: int64 N, an index into the data set's `class_names`; -1 (any class) is allowed where `ignore` is set.
        ids: int64 N, identities; -1 where there is none.
        ignore: bool N.
        areas: float32 N, square pixels: the format's own (COCO's is that of the mask), else that of the box.
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

    def __post_init__(self) -> None:
        for name in ("boxes", "labels", "ids", "ignore", "areas"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that the arrays are read-only on the other side too.
        return Annotation, tuple(getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(eq=False)
class Sample:
    """A picture with its boxes, on the way to the network. Transforms return a new one.

    Attributes:
        image: uint8 H×W×3, RGB.
        boxes: float32 N×4, in the pixels of `image` (not of the file).
        labels: int64 N, as in Annotation.
        ids: int64 N, as in Annotation.
        ignore: bool N.
        annotation: the stored truth; transforms pass it on unchanged.
        amodal: boxes are those of whole objects, over the edges of the picture too; augmentation doesn't cut them. What
            the whole data set says, not this sample alone: what a network is to find must mean the same in all.
    """

    image: Pixels
    boxes: Floats
    labels: Ints
    ids: Ints
    ignore: Bools
    annotation: Annotation
    amodal: bool = False

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of `image`, which need not be decoded for that."""
        return self.image.shape[0], self.image.shape[1]

    def read(self, scale: float = 1.0) -> tuple[Pixels, tuple[float, float]]:
        """The picture, perhaps reduced: for transforms that know how small they will make it.

        Args:
            scale: how many pixels are needed for one of `image`, along each side.

        Returns:
            uint8 h×w×3, RGB, not to be written to; and the scales (x, y) from the coordinates of `image` to those of
            the pixels: 1 and 1 where they are `image`.

        Raises:
            ImageError: the picture cannot be read.
        """
        return self.image, (1.0, 1.0)

    def select(self, rows: NDArray[Any], *, image: Pixels, boxes: Floats, ignore: Bools | None = None) -> Sample:
        """The sample with another image, whose boxes are those of `rows` (indices or a mask) in the new pixels.

        Args:
            rows: which of this sample's boxes survive, in the order of `boxes`.
            image: uint8 H×W×3.
            boxes: float32 M×4, one for each row.
            ignore: bool M; None takes over the flags.
        """
        return Sample(
            image=image,
            boxes=boxes,
            labels=self.labels[rows],
            ids=self.ids[rows],
            ignore=self.ignore[rows] if ignore is None else ignore,
            annotation=self.annotation,
            amodal=self.amodal,
        )


class UnreadSample(Sample):
    """A sample whose picture is decoded when `image` or `read` asks for it.

    Args:
        picture: of the size that `annotation` says.
        annotation: the stored truth; the sample has copies of its arrays.
        amodal: see Sample.
    """

    def __init__(self, picture: LazyImage, annotation: Annotation, *, amodal: bool = False) -> None:
        self._picture = picture
        self._image: Pixels | None = None
        self.boxes = annotation.boxes.copy()
        self.labels = annotation.labels.copy()
        self.ids = annotation.ids.copy()
        self.ignore = annotation.ignore.copy()
        self.annotation = annotation
        self.amodal = amodal

    @property
    def image(self) -> Pixels:
        """uint8 H×W×3, RGB."""
        if self._image is None:
            self.image = np.require(self._picture.read()[0], requirements="W")
        assert self._image is not None
        return self._image

    @image.setter
    def image(self, pixels: Pixels) -> None:
        self._image = pixels
        self._picture = LazyImage.of(pixels)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._picture.size_hw

    def read(self, scale: float = 1.0) -> tuple[Pixels, tuple[float, float]]:
        return self._picture.read(scale)
