"""Descriptions of what a head adds to detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from centernet.skeleton import Skeleton, named

ColumnKind = Literal["value", "vector", "points", "boxes"]
Dtype = Literal["float32", "int64", "bool"]

RESERVED = {
    *("images", "bboxes", "labels", "scores", "track_ids", "class_names", "class_name"),  # here and in model files
    *("id", "image_id", "category_id", "bbox", "score", "track_id", "area", "iscrowd"),  # in COCO's rows
}
"""Names that a column cannot have: they mean something else in detections, model files or COCO's JSON."""


@dataclass(frozen=True)
class Column:
    """Describes what a head adds to detections, so that runtimes, files, writers and drawing can carry it.

    Attributes:
        name: of the column.
        kind: `value` (one number or a few of their own meaning), `vector` (an embedding), `points` (the last axis
            begins with x and y, which move with the image; what follows, such as a score, stays) or `boxes` (the last
            axis is x1 y1 x2 y2).
        shape: of one object's entry; () for a single number.
        dtype: of the arrays.
        skeleton: of points of the shape (K, 3), x y and a score or visibility, what its K keypoints are; a dict as
            `Skeleton.to_dict` gives will do.

    Raises:
        ValueError: a name that is taken, or a shape, type or skeleton that the kind cannot have.
    """

    name: str
    kind: ColumnKind
    shape: tuple[int, ...] = ()
    dtype: Dtype = "float32"
    skeleton: Skeleton | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ValueError(
                f"column {self.name!r}: expected a name of letters, digits and _ that is none of "
                f"{', '.join(sorted(RESERVED))}"
            )
        if self.kind not in get_args(ColumnKind) or self.dtype not in get_args(Dtype):
            raise ValueError(
                f"column {self.name}: expected one of the kinds {', '.join(get_args(ColumnKind))} and of the types "
                f"{', '.join(get_args(Dtype))}, got {self.kind!r} and {self.dtype!r}"
            )
        last = self.shape[-1] if self.shape else 1
        for kind, right, axis in (("points", last >= 2, "x y …"), ("boxes", last == 4, "x1 y1 x2 y2")):
            if self.kind == kind and not (right and self.dtype == "float32"):
                expected = f"expected float32 and a last axis of {axis} for the kind {kind}"
                raise ValueError(f"column {self.name}: {expected}, got {self.dtype} {self.shape}")
        if self.skeleton is not None:
            object.__setattr__(self, "skeleton", named(self.skeleton))
            count = len(self.skeleton)
            if self.kind != "points" or self.shape != (count, 3):
                raise ValueError(
                    f"column {self.name}: a skeleton of {count} keypoints is for points of the shape {(count, 3)}, "
                    f"got {self.kind} {self.shape}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON and YAML take it; `Column(**values)` is its inverse."""
        values: dict[str, Any] = {"name": self.name, "kind": self.kind, "shape": list(self.shape), "dtype": self.dtype}
        return values if self.skeleton is None else values | {"skeleton": self.skeleton.to_dict()}
