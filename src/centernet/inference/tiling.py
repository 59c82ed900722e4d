"""Cuts big images into overlapping tiles, and gives each object once, however many tiles saw it.

At the size of a network's input small objects vanish: tiles show those, and the whole image what no tile holds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet import boxes as box_ops

SAME = 0.5
"""IoU, within what two tiles both see, from which two boxes are one object."""

PART = 0.7
"""Share of a cut box within another tile's whole box from which it is a part of that object."""

CUT = 0.5
"""Weight of the score of a cut box beside that of a box that no border cuts."""

EDGE = 0.02
"""A box that ends within this share of its tile's side from an inner border may go on beyond it: it counts as cut."""


def tiles(size_hw: tuple[int, int], tile_hw: tuple[int, int], overlap: float = 0.25) -> NDArray[np.int64]:
    """Cover an image with equal tiles, evenly spread.

    Args:
        size_hw, tile_hw: (height, width) of the image and of a tile, which is cut to the image's where that is smaller.
        overlap: neighbours share at least this part of their sides, 0 ≤ overlap < 1. Objects up to this size are whole
            in at least one tile.

    Returns:
        N×4 int64, ``x1 y1 x2 y2``, row by row.
    """
    (tops, height), (lefts, width) = (_starts(size_hw[axis], tile_hw[axis], overlap) for axis in (0, 1))
    y, x = (grid.ravel() for grid in np.meshgrid(tops, lefts, indexing="ij"))
    return np.stack([x, y, x + width, y + height], axis=1)


def merge(
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    scores: NDArray[np.float32],
    view: NDArray[np.int64],
    views: NDArray[np.int64],
    overlap_hw: tuple[float, float] = (0.0, 0.0),
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Join the objects that several views of one image saw.

    Boxes of one view are different objects, as the network said. Boxes of one class from two views are one object where
    they agree on what both views see (`SAME`); a box that its view's border cuts is also part of an object that another
    view sees whole where it lies within it (`PART`). Boxes of one object that are cut by the border between two views
    are joined, with the better score; of all others of an object the best is kept, a cut one counting less (`CUT`).
    Where views differ in size, small objects are the smallest views' alone: they see them in more detail.

    Args:
        boxes, labels, scores: M×4 in the image's pixels, each within its view; M; M.
        view: M, the row of `views` that each box is from.
        views: N×4, ``x1 y1 x2 y2``; together they cover a rectangle, whose own border cuts nothing.
        overlap_hw: height and width that neighbours of the smallest views share: what is no larger is whole in one of
            them.

    Returns:
        Rows of the objects kept, best first; their boxes R×4; their scores R.
    """
    cut = _cut(boxes, view, views)
    first, second, same, mutual = _pairs(boxes, labels, cut, view, views)
    sides = views[:, 2:] - views[:, :2]
    small = (boxes[:, 2:] - boxes[:, :2] <= np.array(overlap_hw)[::-1]).all(axis=1)
    coarse = small & (sides > sides.min(axis=0)).any(axis=1)[view]
    boxes, scores = boxes.copy(), scores.copy()

    joined = same & mutual & cut[first] & cut[second]
    group = _components(len(boxes), first[joined], second[joined])  # of a group of cut parts, its lowest row
    np.minimum.at(boxes[:, :2], group, boxes[:, :2].copy())
    np.maximum.at(boxes[:, 2:], group, boxes[:, 2:].copy())
    np.maximum.at(scores, group, scores.copy())

    first, second = group[first], group[second]
    weight = np.where(cut, CUT * scores, scores)
    swap = (weight[first] < weight[second]) | ((weight[first] == weight[second]) & (first > second))
    better, worse = np.where(swap, second, first), np.where(swap, first, second)
    used = (better != worse) & (same | ~cut[better])
    candidates = (np.arange(len(boxes)) == group) & ~coarse
    used &= candidates[better] & candidates[worse]
    rank = np.argsort(np.argsort(-weight, kind="stable"))
    rows = np.flatnonzero(_first_of_each(candidates, better[used], worse[used], rank))
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    return rows, boxes[rows], scores[rows]


def _starts(length: int, side: int, overlap: float) -> tuple[NDArray[np.int64], int]:
    """Return where tiles begin along an axis, and how long they are."""
    side = min(side, length)
    step = max(1.0, side * (1 - overlap))
    number = 1 + math.ceil((length - side) / step)
    return np.round(np.linspace(0, length - side, number)).astype(np.int64), side


def _cut(boxes: NDArray[np.float32], view: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask M of boxes that reach a border of their view that isn't one of the whole."""
    whole = np.concatenate([views[:, :2].min(axis=0), views[:, 2:].max(axis=0)])
    inner = (views != whole)[view]  # M×4
    sides = views[:, 2:] - views[:, :2]
    near = np.abs(boxes - views[view]) <= EDGE * np.tile(sides, 2)[view]
    return np.asarray((inner & near).any(axis=1))


def _pairs(
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    cut: NDArray[np.bool_],
    view: NDArray[np.int64],
    views: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return pairs of rows that may be one object, a mask of those that agree, and of those that agree best."""
    none = np.zeros(0, np.int64)
    found: list[tuple[Any, ...]] = [(none, none, np.zeros(0, np.float32))]
    for i, j in box_ops.overlapping(boxes, labels):
        i, j = i[view[i] != view[j]], j[view[i] != view[j]]
        a, b = views[view[i]], views[view[j]]
        common = np.concatenate([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])], axis=1)
        agreement = box_ops.elementwise_iou(_within(boxes[i], common), _within(boxes[j], common))
        one, other = cut[i] & ~cut[j], cut[j] & ~cut[i]
        kept = (agreement >= SAME) | (one & _is_part(boxes[i], boxes[j])) | (other & _is_part(boxes[j], boxes[i]))
        found.append((i[kept], j[kept], agreement[kept]))
    first, second, agreement = (np.concatenate(column) for column in zip(*found, strict=True))
    seen_from = np.concatenate([first, second]) * len(views) + view[np.concatenate([second, first])]
    _, group = np.unique(seen_from, return_inverse=True)  # a box and a view that it is compared with
    most = np.zeros(len(group), agreement.dtype)
    np.maximum.at(most, group, np.tile(agreement, 2))
    best = (agreement == most[group].reshape(2, -1)).all(axis=0)
    return first, second, agreement >= SAME, best


def _is_part(cut: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.bool_]:
    shares = box_ops.intersection_over_area(cut[:, None], whole[:, None])  # N×1×1
    return np.asarray(shares[:, 0, 0] >= PART)


def _within(boxes: NDArray[np.float32], areas: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.clip(boxes, np.tile(areas[:, :2], 2), np.tile(areas[:, 2:], 2)).astype(np.float32)


def _components(number: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the lowest row that each row is connected with."""
    from scipy.sparse import coo_matrix  # a tenth of a second to import, for tiles alone
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(first), np.bool_), (first, second)), (number, number))
    _, group = connected_components(links, directed=False)
    _, lowest = np.unique(group, return_index=True)
    return np.asarray(lowest[group], np.int64)


def _first_of_each(
    alive: NDArray[np.bool_], better: NDArray[np.int64], worse: NDArray[np.int64], rank: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return a mask of the rows kept when, going down the ranks, each that is still there takes out its worse ones."""
    order = np.argsort(rank[better], kind="stable")
    kept = alive.tolist()
    for one, other in zip(better[order].tolist(), worse[order].tolist(), strict=True):
        if kept[one]:
            kept[other] = False
    return np.array(kept, np.bool_)
