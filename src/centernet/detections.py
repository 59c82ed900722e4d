"""What was found in one picture: the result type of every path through the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from centernet.extras import require

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Column:
    """What a head adds to detections, so that runtimes, files, writers and drawing can carry it.

    Attributes:
        name: of the column.
        kind: `value` (one number or a few of their own meaning), `vector` (an embedding), `points` (the last axis
            begins with x and y, which move with the image; what follows, such as a score, stays) or `boxes` (the last
            axis is x1 y1 x2 y2).
        shape: of one object's entry; () for a single number.
        dtype: of the arrays.
    """

    name: str
    kind: Literal["value", "vector", "points", "boxes"]
    shape: tuple[int, ...] = ()
    dtype: Literal["float32", "int64", "bool"] = "float32"


@dataclass(frozen=True, eq=False)
class Detections:
    """N objects found in one picture.

    Anything that NumPy can turn into an array may be given; it is checked and converted here, once.

    Attributes:
        bboxes: N×4 float32 ``x1 y1 x2 y2`` in original pixels, ``x1 <= x2`` and ``y1 <= y2``.
        labels: N int64, places in `class_names`.
        scores: N float32.
        embeddings: N×D float32, or None.
        track_ids: N int64, or None.
        class_names: names by label; empty where none are known.

    Raises:
        ValueError: lengths that differ, a box that is inverted or not finite, a label without a name: with the row.
    """

    bboxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32] | None = None
    track_ids: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        def put(key: str, value: Any) -> None:
            object.__setattr__(self, key, value)

        put("class_names", tuple(self.class_names))
        put("bboxes", _array("bboxes", self.bboxes, np.float32, 4))
        count = len(self.bboxes)
        put("labels", _array("labels", self.labels, np.int64, None, count))
        put("scores", _array("scores", self.scores, np.float32, None, count))
        if self.embeddings is not None:
            put("embeddings", _array("embeddings", self.embeddings, np.float32, -1, count))
        if self.track_ids is not None:
            put("track_ids", _array("track_ids", self.track_ids, np.int64, None, count))

        _reject("bboxes", self.bboxes, ~np.isfinite(self.bboxes).all(axis=1), "four finite numbers")
        inverted = (self.bboxes[:, 0] > self.bboxes[:, 2]) | (self.bboxes[:, 1] > self.bboxes[:, 3])
        _reject("bboxes", self.bboxes, inverted, "x1 y1 x2 y2 with x1 <= x2 and y1 <= y2")
        _reject("scores", self.scores, ~np.isfinite(self.scores), "a finite number")
        if self.class_names:
            unnamed = (self.labels < 0) | (self.labels >= len(self.class_names))
            _reject("labels", self.labels, unnamed, f"0..{len(self.class_names) - 1}, a place in class_names")
        else:
            _reject("labels", self.labels, self.labels < 0, "0 or more")

    @classmethod
    def empty(cls, class_names: Sequence[str] = ()) -> Detections:
        """No objects."""
        return cls(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), class_names=tuple(class_names))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.bboxes)

    def __getitem__(self, index: int | slice | ArrayLike) -> Detections:
        """The objects at a place, in a slice, where a mask is true, or at some indices, always as Detections."""
        rows = np.arange(len(self))[index if isinstance(index, slice) else np.asarray(index, dtype=_index_type(index))]
        rows = np.atleast_1d(rows)
        return Detections(
            self.bboxes[rows],
            self.labels[rows],
            self.scores[rows],
            None if self.embeddings is None else self.embeddings[rows],
            None if self.track_ids is None else self.track_ids[rows],
            self.class_names,
        )

    @property
    def names(self) -> list[str]:
        """The class name of each object; the label as text where there are no names."""
        return [self.class_names[label] if self.class_names else str(label) for label in self.labels.tolist()]

    def filter(self, *, score_threshold: float = 0.0, labels: Sequence[int] | None = None) -> Detections:
        """The objects with at least this score, and of these labels where some are given."""
        keep = self.scores >= score_threshold
        return self[keep if labels is None else keep & np.isin(self.labels, np.asarray(labels, dtype=np.int64))]

    def to_coco(
        self, image_id: int, category_ids: Sequence[int] | Mapping[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a COCO result file: image_id, category_id, bbox (x y w h), score, and track_id where there is one.

        Args:
            image_id: of the picture.
            category_ids: the category of each label. Without it label + 1: COCO's categories begin at 1, and its tools
                read 0 as background.
        """
        rows = []
        for i, ((x1, y1, x2, y2), label) in enumerate(zip(self.bboxes.tolist(), self.labels.tolist(), strict=True)):
            row = {
                "image_id": image_id,
                "category_id": label + 1 if category_ids is None else int(category_ids[label]),
                "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(float(self.scores[i]), 6),
            }
            if self.track_ids is not None:
                row["track_id"] = int(self.track_ids[i])
            rows.append(row)
        return rows

    def to_supervision(self) -> Any:
        """The same as `supervision.Detections`, class names in ``data["class_name"]``.

        Raises:
            ImportError: the package supervision isn't installed.
        """
        supervision = require("supervision", "to_supervision()")
        return supervision.Detections(
            xyxy=self.bboxes,
            class_id=self.labels,
            confidence=self.scores,
            tracker_id=self.track_ids,
            data={"class_name": np.array(self.names, dtype=str)},
        )


def _array(key: str, values: Any, dtype: type, columns: int | None, count: int | None = None) -> NDArray[Any]:
    """`values` as an array of `count` rows: one-dimensional where `columns` is None, of any width where it is -1."""
    array = np.asarray(values)
    if dtype is np.int64 and array.dtype.kind == "f" and array.size and not np.array_equal(array, np.floor(array)):
        raise ValueError(f"{key}: expected whole numbers, got {array.dtype} values such as {array.flat[0]}")
    if array.size == 0 and (count or 0) == 0 and array.ndim < 2 and columns not in (None, -1):
        array = array.reshape(0, columns or 0)  # an empty list has no width
    expected = "N" if columns is None else f"N×{'D' if columns == -1 else columns}"
    if array.ndim != (1 if columns is None else 2) or (columns not in (None, -1) and array.shape[1] != columns):
        raise ValueError(f"{key}: expected the shape {expected}, got {array.shape}")
    if count is not None and len(array) != count:
        raise ValueError(f"{key}: expected {count} rows, as many as bboxes, got {len(array)}")
    return np.ascontiguousarray(array, dtype=dtype)


def _reject(key: str, values: NDArray[Any], wrong: Any, expected: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{key}: expected {expected}, row {row} is {values[row].tolist()} ({int(wrong.sum())} such rows)"
        )


def _index_type(index: Any) -> type | None:
    """An empty list would become floats."""
    return np.int64 if not isinstance(index, int) and np.size(index) == 0 and np.asarray(index).dtype != bool else None
