"""Pairs of true and found boxes that overlap, frame by frame, and the best one-to-one assignments of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from centernet.boxes import elementwise_iou, intersection_over_area, iou, overlapping

from .collecting import Bools, Floats, Ints

EPSILON = float(np.finfo(np.float64).eps)
"""By so much TrackEval lets an overlap be below a limit."""

_MANY = 1 << 22  # pairs of a frame, from which on those that don't overlap are not looked at

_AT_A_TIME = 1 << 15  # pairs whose overlap is computed together: their arrays stay within a processor's cache


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of a true and a found box of the same frame that overlap, by frame, true box and found box."""

    truth: Ints  # P, rows of the truth
    found: Ints  # P, rows of the results
    iou: Floats  # P, in (0, 1]
    spans: Ints  # F×4, for each frame that has boxes of both: the rows of the truth from … to, and of the results

    @classmethod
    def find(
        cls, truth_frames: Ints, truth_boxes: Floats, frames: Ints, boxes: Floats, *, inclusive: bool = False
    ) -> Pairs:
        """Find all pairs that overlap; the frames ascend, the boxes are N×4 and M×4 ``x1 y1 x2 y2`` (see `iou`)."""
        both = np.intersect1d(truth_frames, frames)
        spans = np.concatenate([_row_spans(truth_frames, both), _row_spans(frames, both)], axis=1)
        # A last box, which overlaps none, stands in where a frame has fewer boxes than another of its batch.
        nothing = np.array([[0, 0, -1, -1]])
        truth_boxes, boxes = np.concatenate([truth_boxes, nothing]), np.concatenate([boxes, nothing])
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for batch in _batches(spans):
            if len(batch) == 1 and np.prod(batch[0, 1::2] - batch[0, ::2]) > _MANY:
                parts.append(_of_many(truth_boxes, boxes, *batch[0].tolist(), inclusive=inclusive))
                continue
            rows, columns = _rows(batch[:, :2], len(truth_boxes) - 1), _rows(batch[:, 2:], len(boxes) - 1)
            overlaps = iou(truth_boxes[rows], boxes[columns], inclusive=inclusive).reshape(-1)  # F·n·m
            there = np.flatnonzero(overlaps)
            row, column = np.divmod(there, columns.shape[1])
            frame = row // rows.shape[1]
            parts.append((rows.reshape(-1)[row], columns[frame, column], overlaps[there]))
        truth, found, overlap = map(np.concatenate, zip(*parts, strict=True))
        return cls(truth, found, overlap, spans)

    def where(self, keep: Bools) -> Pairs:
        """Return the pairs for which the mask (P) is true; rows and frames keep their numbers."""
        return Pairs(self.truth[keep], self.found[keep], self.iou[keep], self.spans)

    def without(self, keep_truth: Bools, keep_found: Bools) -> Pairs:
        """Return the pairs of the rows for which the masks (N and M) are true; these rows are numbered anew."""
        keep = keep_truth[self.truth] & keep_found[self.found]
        new_truth = np.concatenate([[0], np.cumsum(keep_truth)])
        new_found = np.concatenate([[0], np.cumsum(keep_found)])
        spans = np.concatenate([new_truth[self.spans[:, :2]], new_found[self.spans[:, 2:]]], axis=1)
        spans = spans[(spans[:, 0] < spans[:, 1]) & (spans[:, 2] < spans[:, 3])]
        return Pairs(new_truth[self.truth[keep]], new_found[self.found[keep]], self.iou[keep], spans)

    def frames(self) -> Iterator[tuple[slice, Ints, Ints, tuple[int, int]]]:
        """Yield, by frame of `spans`, its pairs, the places of their boxes within it, and the numbers of its boxes."""
        bounds = np.searchsorted(self.truth, self.spans[:, :2])
        counts = bounds[:, 1] - bounds[:, 0]
        rows = self.truth - np.repeat(self.spans[:, 0], counts)
        columns = self.found - np.repeat(self.spans[:, 2], counts)
        for (start, stop), (a, b, c, d) in zip(bounds.tolist(), self.spans.tolist(), strict=True):
            pairs = slice(start, stop)
            yield pairs, rows[pairs], columns[pairs], (b - a, d - c)

    def assign(self, scores: Floats) -> Ints:
        """Choose the pairs that in each frame make up the largest sum of scores (P, above 0): ascending indices."""
        chosen = [np.zeros(0, np.int64)]
        for pairs, rows, columns, shape in self.frames():
            if pairs.start < pairs.stop:
                chosen.append(best_assignment(scores[pairs], rows, columns, shape) + pairs.start)
        return np.concatenate(chosen)


def best_assignment(scores: Floats | Ints, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Ints:
    """Choose the pairs of one frame, each box in at most one, that make up the largest sum of scores (P, above 0).

    All boxes of the frame (`shape`) take part, also those without a pair: so equal sums are resolved as by TrackEval,
    which hands the same matrix to the same function; where that would have millions of cells only the pairs are looked
    at. Returns ascending indices of pairs.
    """
    if shape[0] * shape[1] > _MANY:
        return _sparse_assignment(scores, rows, columns, shape)
    from scipy.optimize import linear_sum_assignment  # a third of a second to import, for few figures

    matrix = np.zeros(shape)
    matrix[rows, columns] = scores
    chosen_rows, chosen_columns = linear_sum_assignment(matrix, maximize=True)
    chosen = np.full(shape[0], -1)
    chosen[chosen_rows] = chosen_columns
    return np.flatnonzero(chosen[rows] == columns)


def _sparse_assignment(scores: Floats | Ints, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Ints:
    """Choose pairs as `best_assignment` does, in memory that grows with the pairs."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    # A further column for each row, to be left alone with, gives every row one; the 1 on top changes no choice.
    alone = np.arange(shape[0])
    weights = np.concatenate([1.0 + scores, np.ones(shape[0])])
    places = np.concatenate([rows, alone]), np.concatenate([columns, shape[1] + alone])
    matrix = coo_matrix((weights, places), (shape[0], shape[1] + shape[0])).tocsr()
    _, chosen = min_weight_full_bipartite_matching(matrix, maximize=True)
    return np.flatnonzero(chosen[rows] == columns)


def largest_share_inside(region_frames: Ints, regions: Floats, frames: Ints, boxes: Floats) -> Floats:
    """Return the largest share of each box (M×4) that lies in one region of its frame."""
    pairs = Pairs.find(region_frames, regions, frames, boxes)
    largest = np.zeros(len(boxes))
    shares = intersection_over_area(boxes[pairs.found, None], regions[pairs.truth, None])  # P×1×1
    np.maximum.at(largest, pairs.found, shares[:, 0, 0])
    return largest


def _of_many(
    truth_boxes: Floats, boxes: Floats, a: int, b: int, c: int, d: int, *, inclusive: bool
) -> tuple[Ints, Ints, Floats]:
    """Return the pairs of one frame, of rows a to b of the truth and c to d of the results: see `Pairs`."""
    joined = np.concatenate([truth_boxes[a:b], boxes[c:d]]) + np.array([0, 0, 1, 1]) * inclusive
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for i, j in overlapping(joined, np.zeros(len(joined), np.int64)):
        low, high = np.minimum(i, j), np.maximum(i, j)
        across = (low < b - a) & (high >= b - a)
        truth, found = low[across] + a, high[across] + c - (b - a)
        parts.append((truth, found, elementwise_iou(truth_boxes[truth], boxes[found], inclusive=inclusive)))
    truth, found, overlap = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((found, truth))
    order = order[overlap[order] > 0]
    return truth[order], found[order], overlap[order]


def _row_spans(rows: Ints, frames: Ints) -> Ints:
    """Return F×2, the first row of each frame and the one after its last, where the frames of the rows (N) ascend."""
    return np.stack([np.searchsorted(rows, frames, "left"), np.searchsorted(rows, frames, "right")], axis=1)


def _batches(spans: Ints) -> Iterator[Ints]:
    """Yield neighbouring frames that have at most `_AT_A_TIME` pairs when each is filled up to the largest."""
    start = rows = columns = 0
    for frame, (a, b, c, d) in enumerate(spans.tolist()):
        rows, columns = max(rows, b - a), max(columns, d - c)
        if frame > start and rows * columns * (frame + 1 - start) > _AT_A_TIME:
            yield spans[start:frame]
            start, rows, columns = frame, b - a, d - c
    if len(spans):
        yield spans[start:]


def _rows(spans: Ints, nothing: int) -> Ints:
    """Return F×n rows of F frames; the row `nothing` fills up where a frame has fewer than n."""
    longest = int((spans[:, 1] - spans[:, 0]).max())
    rows = spans[:, :1] + np.arange(longest)
    return np.where(rows < spans[:, 1:], rows, nothing)
