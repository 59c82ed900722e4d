"""Box formats, areas and overlaps for NumPy arrays and torch tensors alike; for arrays torch is never imported.

Boxes are ``x1 y1 x2 y2`` in continuous coordinates (the whole image is ``0 0 W H``, a side is ``x2 - x1``) in the last
axis, behind any others. With tensors everything is differentiable, finite for boxes without area, and can be traced.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

# mypy: disable-error-code="no-any-return"

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

Array = TypeVar("Array", "NDArray[Any]", "Tensor")
IoUKind = Literal["iou", "giou", "diou", "ciou"]
BLOCK = 1 << 18
"""Pairs of boxes that `overlapping` compares at once."""


def xyxy_to_xywh(boxes: Array) -> Array:
    """Convert corners to left, top, width, height (COCO's form). Boxes …×4."""
    x1, y1, x2, y2 = _columns(boxes)
    return _stack(boxes, x1, y1, x2 - x1, y2 - y1)


def xywh_to_xyxy(boxes: Array) -> Array:
    """Convert left, top, width, height to corners. Boxes …×4."""
    x, y, w, h = _columns(boxes)
    return _stack(boxes, x, y, x + w, y + h)


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Convert corners to centre x, centre y, width, height. Boxes …×4."""
    x1, y1, x2, y2 = _columns(boxes)
    return _stack(boxes, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """Convert centre x, centre y, width, height to corners. Boxes …×4."""
    cx, cy, w, h = _columns(boxes)
    return _stack(boxes, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)


def area(boxes: Array) -> Array:
    """Compute the areas (…) of boxes (…×4), in square units of the boxes; an inverted box has none."""
    x1, y1, x2, y2 = _columns(boxes)
    return _positive(x2 - x1) * _positive(y2 - y1)


def clip(boxes: Array, size_hw: tuple[Any, Any]) -> Array:
    """Move the corners of boxes (…×4) into the image ``0 0 W H``.

    Height and width are numbers, or arrays of the boxes' kind that broadcast against (…), so that each image of a batch
    B×K×4 may have a size of its own (B×1).
    """
    x1, y1, x2, y2 = _columns(boxes)
    limits = zip((x1, y1, x2, y2), size_hw[::-1] * 2, strict=True)
    return _stack(boxes, *(_between_zero_and(values, limit) for values, limit in limits))


def transform(boxes: Array, matrix: Any) -> Array:
    """Map boxes …×N×4 by an affine matrix: exact for scaling, shifting and flipping; else the boxes around the corners.

    The matrix is 2×3, or one for each image of a batch (…×2×3): ``x' = m00 x + m01 y + m02``. NumPy boxes are mapped in
    float64 and returned in their own (floating) type.
    """
    boxes, xp = _floating(boxes), _namespace(boxes)
    m = np.asarray(matrix, np.float64) if xp is np else xp.as_tensor(matrix, dtype=boxes.dtype, device=boxes.device)
    m = m[..., None]  # …×2×3×1: each entry broadcasts over the N boxes of its image
    x1, y1, x2, y2 = _columns(boxes)
    low, high = [], []
    for row in (0, 1):
        ax, bx = m[..., row, 0, :] * x1, m[..., row, 0, :] * x2
        ay, by = m[..., row, 1, :] * y1, m[..., row, 1, :] * y2
        low.append(xp.minimum(ax, bx) + xp.minimum(ay, by) + m[..., row, 2, :])
        high.append(xp.maximum(ax, bx) + xp.maximum(ay, by) + m[..., row, 2, :])
    mapped: Any = _stack(boxes, *low, *high)
    return mapped.astype(boxes.dtype) if xp is np else mapped


def iou(a: Array, b: Array, *, inclusive: bool = False) -> Array:
    """Compute the intersection over union of every box of `a` (…×N×4) with every box of `b` (…×M×4).

    With `inclusive` sides count as ``x2 - x1 + 1`` (integer pixels, as SORT-like trackers and TTFNet count them).
    Returns …×N×M in [0, 1]; 0 where neither box has area.
    """
    a, b = _precise(a), _precise(b)
    return _divide(*_intersection_and_union(a[..., :, None, :], b[..., None, :, :], inclusive))


def intersection_over_area(a: Array, b: Array) -> Array:
    """Compute the share of each box of `a` (…×N×4) that lies in each box of `b` (…×M×4), as COCO does for crowds `b`.

    Returns …×N×M in [0, 1]; 0 where the box of `a` has no area.
    """
    a, b = _precise(a), _precise(b)
    intersection, _ = _intersection_and_union(a[..., :, None, :], b[..., None, :, :], inclusive=False)
    return _divide(intersection, area(a)[..., None])


def elementwise_iou(a: Array, b: Array, kind: IoUKind = "iou", *, inclusive: bool = False) -> Array:
    """Compute the IoU, or one of its generalisations, of each box of `a` with the box of `b` in the same place.

    ``giou = iou - (C - U) / C`` with C the area of the smallest box around both; ``diou = iou - d² / c²`` with d the
    distance of the centres and c the diagonal of that box; ``ciou = diou - alpha v`` with
    ``v = 4/pi² (atan(w_b / h_b) - atan(w_a / h_a))²`` and ``alpha = v / (1 - iou + v)``. Gradients are those of the
    value; torchvision's ciou takes alpha as a constant there. GIoU: Rezatofighi et al. 2019 (arXiv:1902.09630); DIoU
    and CIoU: Zheng et al. 2020 (arXiv:1911.08287). Overlaps of half-precision boxes are float32.

    Args:
        a: …×4, for a loss the predicted boxes.
        b: …×4, broadcast against `a`; for a loss the true boxes.
        kind: of which iou is in [0, 1], giou and diou in [-1, 1], ciou above -2.
        inclusive: sides count as ``x2 - x1 + 1``, also those of the enclosing box (TTFNet's form of GIoU).

    Returns:
        … values; they and their gradients are finite for any finite boxes.

    Raises:
        ValueError: `kind` is none of the four.
    """
    if kind not in ("iou", "giou", "diou", "ciou"):
        raise ValueError(f"unknown kind of IoU {kind!r}: expected 'iou', 'giou', 'diou' or 'ciou'")
    a, b = _precise(a), _precise(b)
    intersection, union = _intersection_and_union(a, b, inclusive)
    value = _divide(intersection, union)
    if kind == "iou":
        return value

    xp = _namespace(a)
    ax1, ay1, ax2, ay2 = _columns(a)
    bx1, by1, bx2, by2 = _columns(b)
    extra = 1 if inclusive else 0
    around_w = _positive(xp.maximum(ax2, bx2) - xp.minimum(ax1, bx1) + extra)
    around_h = _positive(xp.maximum(ay2, by2) - xp.minimum(ay1, by1) + extra)
    if kind == "giou":
        around = around_w * around_h
        return value - _divide(around - union, around)

    distance = ((bx1 + bx2 - ax1 - ax2) / 2) ** 2 + ((by1 + by2 - ay1 - ay2) / 2) ** 2
    diou = value - _divide(distance, around_w**2 + around_h**2)
    if kind == "diou":
        return diou

    # atan2 of sides held above zero: a flat box has an angle and a gradient, a point gets the angle of a square.
    tiny = _epsilon(a)
    angle_a = xp.arctan2(_at_least(ax2 - ax1 + extra, tiny), _at_least(ay2 - ay1 + extra, tiny))
    angle_b = xp.arctan2(_at_least(bx2 - bx1 + extra, tiny), _at_least(by2 - by1 + extra, tiny))
    v = (4 / math.pi**2) * (angle_b - angle_a) ** 2
    return diou - _divide(v, 1 - value + v) * v


def overlapping(
    boxes: NDArray[Any], groups: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the pairs of boxes of one group that overlap, in blocks, each pair once, without comparing all with all.

    A box goes into every horizontal band that it touches; bands are as high as boxes are on average, which makes at
    most three times as many. In a band sorted by left sides, those that begin within a box stand behind it.

    Args:
        boxes: N×4; those without area overlap nothing.
        groups: N, any numbers.

    Yields:
        K rows, and the K rows that overlap them.
    """
    rows = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    if not len(rows):
        return
    corners = boxes[rows].astype(np.float64)
    x1, y1, x2, y2 = (corners - np.tile(corners[:, :2].min(axis=0), 2)).T
    first, last = (np.floor(y / (y2 - y1).mean()).astype(np.int64) for y in (y1, y2))
    copies = last - first + 1
    box = np.repeat(np.arange(len(rows)), copies)
    band = first[box] + _counted(copies)
    _, kind = np.unique(groups[rows], return_inverse=True)
    key = kind[box] * (band.max() + 1) + band
    order = np.lexsort((x1[box], key))
    box, band, key = box[order], band[order], key[order] * (x2.max() + 2)  # of a group and band, far from the next
    ends = np.searchsorted(key + x1[box], key + x2[box] + 1)  # a pixel more, as sums are rounded
    behind = np.maximum(0, ends - np.arange(1, len(box) + 1))
    total = np.cumsum(behind)
    bounds = np.searchsorted(total, np.arange(BLOCK, total[-1], BLOCK)) + 1
    for part in np.split(np.arange(len(box)), np.unique(bounds)):
        one = np.repeat(part, behind[part])
        other = one + 1 + _counted(behind[part])
        i, j = box[one], box[other]
        seen = (x1[j] < x2[i]) & (y1[i] < y2[j]) & (y1[j] < y2[i]) & (band[one] == np.maximum(first[i], first[j]))
        yield rows[i[seen]], rows[j[seen]]


def _counted(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, … up to each of the numbers, one after the other."""
    return np.arange(numbers.sum()) - np.repeat(np.cumsum(numbers) - numbers, numbers)


def _intersection_and_union(a: Any, b: Any, inclusive: bool) -> tuple[Any, Any]:
    """Return the areas of overlap and union of boxes that broadcast against each other."""
    xp = _namespace(a)
    _namespace(b)
    ax1, ay1, ax2, ay2 = _columns(a)
    bx1, by1, bx2, by2 = _columns(b)
    extra = 1 if inclusive else 0
    width = _positive(xp.minimum(ax2, bx2) - xp.maximum(ax1, bx1) + extra)
    height = _positive(xp.minimum(ay2, by2) - xp.maximum(ay1, by1) + extra)
    intersection = width * height
    area_a = _positive(ax2 - ax1 + extra) * _positive(ay2 - ay1 + extra)
    area_b = _positive(bx2 - bx1 + extra) * _positive(by2 - by1 + extra)
    return intersection, area_a + area_b - intersection


def _namespace(array: Any) -> Any:
    """Return NumPy for arrays, torch for tensors."""
    if isinstance(array, np.ndarray):
        return np
    if "torch" in sys.modules:
        import torch

        if isinstance(array, torch.Tensor):
            return torch
    raise TypeError(
        f"boxes must be a NumPy array or a torch tensor, got {type(array).__name__}: wrap them in np.asarray()"
    )


def _columns(boxes: Any) -> tuple[Any, Any, Any, Any]:
    xp = _namespace(boxes)
    if isinstance(boxes, np.ndarray):  # faster than np.moveaxis, and called twice for every image of a training
        columns = [boxes[..., i] for i in range(boxes.shape[-1] if boxes.ndim else 0)]
    else:
        columns = xp.unbind(boxes, -1)
    if len(columns) != 4:
        raise ValueError(f"boxes must have four numbers in their last axis, got the shape {tuple(boxes.shape)}")
    return columns[0], columns[1], columns[2], columns[3]


def _stack(like: Array, *columns: Any) -> Array:
    return _namespace(like).stack(columns, -1)


def _floating(boxes: Any, least: int = 1) -> Any:
    """Convert integer boxes to float32 (differences of unsigned ones wrap around), and floats of fewer bytes too."""
    numpy = _namespace(boxes) is np
    floating = boxes.dtype.kind == "f" if numpy else boxes.is_floating_point()
    if floating and boxes.dtype.itemsize >= least:
        return boxes
    return boxes.astype(np.float32) if numpy else boxes.float()


def _precise(boxes: Any) -> Any:
    """Convert boxes to at least float32: areas overflow float16 and lose their differences in bfloat16."""
    return _floating(boxes, least=4)


def _epsilon(array: Any) -> float:
    """Return the stand-in for a zero divisor: small, and its square still a number of the type."""
    return float(_namespace(array).finfo(array.dtype).eps)


def _at_least(values: Any, low: float) -> Any:
    return np.maximum(values, low) if isinstance(values, np.ndarray) else values.clamp(min=low)


def _positive(values: Any) -> Any:
    """Hold values above zero; at zero the gradient is 0, which torch's `clamp` gives since 2.9 or so alone."""
    return np.maximum(values, 0) if isinstance(values, np.ndarray) else values.relu()


def _divide(a: Any, b: Any) -> Any:
    """Divide by a divisor held above zero, so that neither value nor gradient is ever 0/0."""
    return a / _at_least(b, _epsilon(b))


def _between_zero_and(values: Any, limit: Any) -> Any:
    if isinstance(values, np.ndarray):
        return np.minimum(np.maximum(values, 0), np.asarray(limit).astype(values.dtype))
    xp = _namespace(values)
    if isinstance(limit, xp.Tensor):  # sizes of a batch, or a size that a tracer follows
        return xp.minimum(values.clamp(min=0), limit.to(values))
    return values.clamp(min=0, max=limit)
