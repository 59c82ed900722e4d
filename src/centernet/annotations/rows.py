"""Boxes as files state them, column by column, and what may be wrong with them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .text import TextTable

SLIVER = 0.01
"""Sides below this many pixels count as none: float32 could not hold them at the far edge of a big image."""


@dataclass(frozen=True, eq=False)
class BoxRows:
    """N boxes of one or many images, in the order of their file."""

    images: NDArray[np.int64]  # the image of each: its place among the images, or its frame
    places: NDArray[np.int64]  # where it is in its file, for messages: a line, or the number of an entry
    boxes: NDArray[np.float64]  # N×4, x1 y1 x2 y2 in pixels; counted from 0 unless the parser says otherwise
    labels: NDArray[np.int64]  # -1: any class
    ids: NDArray[np.int64]  # identities as the file numbers them; below 0: none
    ignore: NDArray[np.bool_]
    areas: NDArray[np.float64]  # square pixels; NaN: that of the box
    difficulty: NDArray[np.int8]  # as in centernet.data.Annotation
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # by name, N×… of what else is known of each

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: NDArray[Any]) -> BoxRows:
        """Return the rows that a mask or indices choose; the same object where a mask chooses all."""
        if rows.dtype == np.bool_ and rows.all():
            return self
        data = {name: array[rows] for name, array in self.data.items()}
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return BoxRows(**arrays, data=data)

    @classmethod
    def of_tracks(cls, table: TextTable, boxes: Any, labels: Any, ignore: Any, difficulty: Any = None) -> BoxRows:
        """Return the rows of a table whose first two columns are the frame and the identity; see the class."""
        frames, ids = (table.values[:, column].astype(np.int64) for column in (0, 1))
        areas = np.full(len(table), np.nan)
        levels = np.zeros(len(table), np.int8) if difficulty is None else difficulty
        return cls(frames, table.lines, boxes, labels, ids, ignore, areas, levels)

    @classmethod
    def joined(cls, parts: Sequence[BoxRows]) -> BoxRows:
        """Return the rows of all parts, one after the other."""
        parts = [RowList().rows(), *parts]
        empty = {name: array[:0] for part in parts for name, array in part.data.items()}
        data = {
            name: np.concatenate(
                [part.data.get(name, np.zeros((len(part), *none.shape[1:]), none.dtype)) for part in parts]
            )
            for name, none in empty.items()
        }
        arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        return cls(**arrays, data=data)


_ARRAYS = tuple(field.name for field in fields(BoxRows) if field.name != "data")


class RowList:
    """Rows that grow box by box, with no Python object for each."""

    def __init__(self) -> None:
        self._integers = array("q")  # image, place, label, identity, ignore
        self._floats = array("d")  # box, area
        self._posed, self._keypoints = array("q"), array("f")  # rows with keypoints, and x, y, visibility of each

    def __len__(self) -> int:
        return len(self._integers) // 5

    def add(
        self,
        image: int,
        place: int,
        box: Sequence[float],
        label: int,
        *,
        ignore: bool = False,
        identity: int = -1,
        area: float = math.nan,
        keypoints: Sequence[float] | None = None,
    ) -> None:
        """Append a box; see `BoxRows`. `keypoints` are as many numbers in all rows that have some."""
        if keypoints is not None:
            self._posed.append(len(self))
            self._keypoints.extend(keypoints)
        self._integers.extend((image, place, label, identity, ignore))
        self._floats.extend((*box, area))

    def rows(self) -> BoxRows:
        """Return all boxes, of which there will be no more: the columns are views."""
        images, places, labels, ids, ignore = np.asarray(self._integers, dtype=np.int64).reshape(-1, 5).T
        floats = np.asarray(self._floats, dtype=np.float64).reshape(-1, 5)
        level = np.zeros(len(images), dtype=np.int8)
        data = {}
        if self._posed:
            stated = np.asarray(self._keypoints, dtype=np.float32).reshape(len(self._posed), -1, 3)
            data["keypoints"] = np.zeros((len(images), *stated.shape[1:]), np.float32)
            data["keypoints"][np.asarray(self._posed)] = stated
        return BoxRows(images, places, floats[:, :4], labels, ids, ignore != 0, floats[:, 4], level, data)


def are_usable(boxes: NDArray[np.float64], sizes: NDArray[Any], *, first_pixel: int = 0) -> NDArray[np.bool_]:
    """Tell which boxes can be used: finite, with an area, and at least partly inside images of N×2 (height, width).

    Boxes are in the file's own numbers, of which `first_pixel` is that of the first pixel. With 1 (inclusive pixels, as
    VOC has them) a box from a pixel to itself still has no area: that is how tools write a slip of the mouse.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    with np.errstate(invalid="ignore"):  # NaN compares as false
        inside = np.minimum(high, sizes[:, ::-1]) - np.maximum(low - first_pixel, 0)
        return np.asarray(np.isfinite(boxes).all(axis=1) & (np.minimum(high - low, inside) >= SLIVER).all(axis=1))


def describe_fault(box: Sequence[float], size_hw: tuple[int, int]) -> tuple[str, str]:
    """Say what is wrong with a box that `are_usable` refuses: the kind of problem, and a description."""
    x1, y1, x2, y2 = box
    numbers = f"[{x1:g}, {y1:g}, {x2:g}, {y2:g}] (x1 y1 x2 y2)"
    if not all(map(math.isfinite, box)):
        return "bad-box", f"the box {numbers} is not four finite numbers"
    if x2 < x1 or y2 < y1:
        return "inverted-box", f"the box {numbers} is inverted"
    if x2 - x1 < SLIVER or y2 - y1 < SLIVER:
        return "empty-box", f"the box {numbers} has no area"
    height, width = size_hw
    return "outside-box", f"the box {numbers} lies outside its image of {height}×{width} pixels (height×width)"
