"""Assigning detections to tracks: the possible pairs, their costs, and the best assignment.

Of N tracks and M detections hardly any two are near each other: K pairs (track, detection, cost), no N×M matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from .kalman import LEAST_SIZE

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


def overlapping(a: Array, b: Array, *, inclusive: bool = False) -> tuple[Indices, Indices, Array]:
    """Return all K pairs of boxes N×4 and M×4 that overlap: rows of `a`, rising, rows of `b`, and the IoU, above 0.

    With `inclusive` sides count as ``x2 - x1 + 1``, as FairMOT and ByteTrack count them; without, flat boxes count as
    `thickened`, since they would overlap nothing.
    """
    if not (len(a) and len(b)):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    extra = 1.0 if inclusive else 0.0
    if not inclusive:
        a, b = thickened(a), thickened(b)
    # Sorted by their left side, the boxes that can reach into another's columns follow one another.
    order = b[:, 0].argsort()
    left = b[order, 0]
    widths = b[:, 2] - b[:, 0] + extra
    first = left.searchsorted(a[:, 0] - widths.max())
    count = np.maximum(left.searchsorted(a[:, 2] + extra, side="right") - first, 0)
    end = count.cumsum()
    rows = np.arange(len(a)).repeat(count)
    columns = order[np.arange(end[-1]) + (first - end + count).repeat(count)]

    p, q = a[rows], b[columns]
    shared = np.minimum(p[:, 2:], q[:, 2:]) - np.maximum(p[:, :2], q[:, :2]) + extra  # K×2, width and height
    near = (shared[:, 0] > 0) & (shared[:, 1] > 0)
    rows, columns, shared = rows[near], columns[near], shared[near]
    intersection = shared[:, 0] * shared[:, 1]
    area_a = (a[:, 2] - a[:, 0] + extra) * (a[:, 3] - a[:, 1] + extra)
    area_b = widths * (b[:, 3] - b[:, 1] + extra)
    return rows, columns, intersection / (area_a[rows] + area_b[columns] - intersection)


def thickened(boxes: Array) -> Array:
    """Return boxes N×4 with flat ones as thick as a tenth of their length; a point becomes a square of one pixel.

    Objects that were cut to a line at the edge of an image are flat.
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    longest = sizes.max(axis=1, keepdims=True)
    flat = sizes <= np.maximum(longest / 200, LEAST_SIZE)
    if not flat.any():
        return boxes
    half = flat * np.where(longest > LEAST_SIZE, longest / 10, 1.0) / 2
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate(
        [np.where(flat, middle - half, boxes[:, :2]), np.where(flat, middle + half, boxes[:, 2:])], axis=1
    )


def appearance_cost(tracks: Array, detections: Array, distance: Array, *, gate: float, weight: float) -> Array:
    """Mix cosine distances of embeddings N×D and M×D, of length 1, with squared Mahalanobis distances N×M.

    ``weight · cosine + (1 - weight) · distance``; infinity where the distance is above `gate`. FairMOT, Zhang et al.
    2020, arXiv:2004.01888.
    """
    cosine = np.maximum(1 - tracks @ detections.T, 0)
    return np.where(distance > gate, np.inf, weight * cosine + (1 - weight) * distance)


def assign(rows: Indices, columns: Indices, cost: Array, limit: float) -> tuple[Indices, Indices]:
    """Choose pairs so that no row and no column is in two, and the sum of ``limit - cost`` over them is largest.

    The K pairs to choose from are different ones that cost less than `limit`, the cost of leaving a row and a column
    alone. Returns the rows and columns of the chosen ones.
    """
    if not len(rows):
        return rows, columns
    # Pairs that have no rival in their row or column need no search: most of them, unless there is a crowd.
    rivals = (np.bincount(rows)[rows] > 1) | (np.bincount(columns)[columns] > 1)
    if not rivals.any():
        return rows, columns
    i_of, i = _numbered(rows[rivals])
    j_of, j = _numbered(columns[rivals])
    # An assignment of all rows (or columns) in which an unwanted pair costs the limit has the same best pairs as one
    # that may leave rows and columns alone.
    contested = np.full((len(i_of), len(j_of)), limit)
    contested[i, j] = cost[rivals]
    i, j = linear_sum_assignment(contested)
    made = contested[i, j] < limit
    return np.concatenate([rows[~rivals], i_of[i[made]]]), np.concatenate([columns[~rivals], j_of[j[made]]])


def _numbered(values: Indices) -> tuple[Indices, Indices]:
    """Return the distinct ones of some small numbers, rising, and the place of each number among them."""
    present = np.bincount(values) > 0
    return present.nonzero()[0], (present.cumsum() - 1)[values]


class Matching:
    """Pairs of N tracks and M detections, made in stages: those of one stage take no part in the next."""

    def __init__(self, tracks: int, detections: int) -> None:
        self.track_of = np.full(detections, -1, dtype=np.int64)  # the track of each detection, or -1
        self.free = np.ones(tracks, dtype=bool)  # tracks without a detection so far

    def pair(
        self, rows: Indices, columns: Indices, cost: Array, limit: float, *, tracks: Mask, detections: Mask
    ) -> None:
        """Make one stage: assign, among K possible pairs of tracks (rows) and detections (columns) that cost less than
        `limit`, free ones that are in the masks N and M (`assign`)."""
        wanted = (tracks & self.free)[rows] & (detections & (self.track_of < 0))[columns] & (cost < limit)
        i, j = assign(rows[wanted], columns[wanted], cost[wanted], limit)
        self.track_of[j] = i
        self.free[i] = False
