"""Fields: what a data set knows of its boxes beside label and identity, and how that moves with the image.

A field is a `Column`: arrays of the kinds ``points`` and ``boxes`` are in pixels and move, all others stay. Points of
the shape (K, 3) are keypoints: x, y and visibility, 0 not labelled, 1 hidden, 2 visible (COCO's); where it is 0, x and
y are 0 too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import boxes as box_ops
from ..annotations.problems import DataError
from ..column import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Data: TypeAlias = Mapping[str, NDArray[Any]]
    Matrix: TypeAlias = NDArray[Any]

IDENTITY = np.eye(2, 3)


def has_visibility(field: Column) -> bool:
    """Return True for a field of keypoints: x, y, visibility."""
    return field.kind == "points" and field.shape[-1] == 3


def keypoint_field(fields: Sequence[Column]) -> Column | None:
    """Return the field of keypoints that have names; None where there is none."""
    return next((field for field in fields if field.skeleton is not None), None)


def moved(
    data: Data, fields: Sequence[Column], matrix: Matrix | None, size_hw: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Return the arrays after an affine map of the image, 2×3, to one of `size_hw`.

    Keypoints outside of it become unlabelled; those that a mirror exchanges change places.

    Raises:
        DataError: no matrix, although something moves with the image.
    """
    moving = [field.name for field in fields if field.kind in ("points", "boxes")]
    if not moving:
        return dict(data)
    if matrix is None:
        raise DataError(
            f"the data have {', '.join(moving)}, and a transform does not say how they move: give the 2×3 matrix from "
            "old to new pixels to Sample.select(..., matrix=...)"
        )
    linear, shift = np.asarray(matrix, dtype=np.float64)[:, :2], np.asarray(matrix, dtype=np.float64)[:, 2]
    mirrored = linear[0, 0] * linear[1, 1] < linear[0, 1] * linear[1, 0]
    return placed(data, fields, lambda points: points @ linear.T + shift, size_hw, mirrored=bool(mirrored))


def placed(
    data: Data,
    fields: Sequence[Column],
    place: Callable[[NDArray[Any]], NDArray[Any]],
    size_hw: tuple[int, int],
    *,
    mirrored: bool,
) -> dict[str, NDArray[Any]]:
    """Return the arrays with every point (…×2) where `place` puts it in an image of `size_hw`; see `moved`."""
    result = dict(data)
    for field in fields:
        array = data[field.name]
        if field.kind == "boxes":
            corners = array[..., [[0, 1], [2, 1], [2, 3], [0, 3]]]
            corners = place(corners)
            result[field.name] = np.concatenate([corners.min(-2), corners.max(-2)], axis=-1).astype(np.float32)
        elif field.kind == "points":
            new = array.astype(np.float32)  # a copy
            new[..., :2] = place(array[..., :2])
            if mirrored and field.skeleton is not None:
                new = new[..., list(field.skeleton.flip_order), :]
            if has_visibility(field):
                xy = new[..., :2]
                inside = ((xy >= 0) & (xy < np.array(size_hw[::-1]))).all(axis=-1) & (new[..., 2] > 0)
                new[~inside] = 0
            result[field.name] = new
    return result


def scaled(data: Data, fields: Sequence[Column], factors: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays with the coordinates of row i times ``factors[i]`` (N×2, across and down)."""
    result = dict(data)
    for field in fields:
        if field.kind in ("points", "boxes"):
            array = data[field.name].copy()
            each = factors.reshape(len(array), *[1] * (array.ndim - 2), 2)
            sides = slice(0, 4) if field.kind == "boxes" else slice(0, 2)
            array[..., sides] *= np.tile(each, 2) if field.kind == "boxes" else each
            result[field.name] = array
    return result


def agreed(named: Sequence[tuple[str, Sequence[Column]]]) -> tuple[Column, ...]:
    """Return the fields of several data sets (what each is called, and its fields) together.

    Raises:
        DataError: two of one name differ, or one other than keypoints, which may be unlabelled, is not in all.
    """
    known: dict[str, tuple[str, Column]] = {}
    for where, fields in named:
        for field in fields:
            first, other = known.setdefault(field.name, (where, field))
            if not _alike(field, other):
                raise DataError(
                    f"{where} and {first} both have {field.name}, but not alike: {_described(field)} and "
                    f"{_described(other)}. Bring them to one, or leave them out where a reader has an option for it "
                    "(keypoints=False)"
                )
    for where, fields in named:
        for name, (first, field) in known.items():
            if name not in {own.name for own in fields} and not has_visibility(field):
                raise DataError(f"{first} has {name} for its boxes, {where} has not, and there is no value for unknown")
    return tuple(field for _, field in known.values())


def _alike(field: Column, other: Column) -> bool:
    """Return True for fields that mean the same, whatever limbs are drawn between keypoints."""
    names, others = (
        column.skeleton and (column.skeleton.names, column.skeleton.flip_order) for column in (field, other)
    )
    return replace(field, skeleton=None) == replace(other, skeleton=None) and names == others


def filled(data: Data, fields: Sequence[Column], count: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of `count` rows with those that are not there: of keypoints that nobody labelled."""
    return {
        field.name: data[field.name] if field.name in data else np.zeros((count, *field.shape), field.dtype)
        for field in fields
    }


def check_data(data: Data, fields: Sequence[Column], count: int, where: str) -> None:
    """Make sure that there is an array of `count` rows for each field and for nothing else; a DataError names it."""
    if set(data) != {field.name for field in fields}:
        raise DataError(
            f"{where}: its boxes come with {', '.join(sorted(data)) or 'nothing'}, its fields say "
            f"{', '.join(sorted(field.name for field in fields)) or 'nothing'}; they must be the same"
        )
    for field in fields:
        array, expected = data[field.name], (count, *field.shape)
        if array.shape != expected or array.dtype != field.dtype:
            raise DataError(
                f"{where}: {field.name} is {array.dtype} {array.shape}, expected {field.dtype} {expected}, a row a box"
            )


def _described(field: Column) -> str:
    names = "" if field.skeleton is None else f" of {', '.join(field.skeleton.names)}"
    return f"{field.kind} {field.shape}{names}"


def clipped_points(data: Data, fields: Sequence[Column], size_hw: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Return the arrays for an image that has another size than was stated: nothing moves, boxes are cut."""
    kept = moved(data, [field for field in fields if field.kind == "points"], IDENTITY, size_hw)
    cut = {f.name: box_ops.clip(data[f.name], size_hw) for f in fields if f.kind == "boxes"}
    return kept | cut
