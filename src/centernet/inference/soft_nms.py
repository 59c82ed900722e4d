"""Soft suppression as the original CenterNet merges several test scales with it.

Source: https://arxiv.org/abs/1704.04503; the original's compiled code is followed, whose boxes count "+1" and which
works in place: what falls below the threshold changes places with the last row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["hard", "linear", "gaussian"]
THRESHOLD = 0.001


def soft_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    method: Method = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.5,
    score_threshold: float = THRESHOLD,
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Lower the scores of boxes that overlap better ones.

    Args:
        boxes: N×4, x1 y1 x2 y2.
        scores: N.
        method: by what the score of a box that overlaps is multiplied: 0 from `iou_threshold` on, 1 − IoU from there
            on, or exp(−IoU² / sigma) for all.
        sigma: of `gaussian`.
        iou_threshold: of `hard` and `linear`.
        score_threshold: a box that falls below it changes no other any more.

    Returns:
        N rows of the input in their new order, the new scores in that order, and how many of them were kept. Those
        behind were dropped; the original writes them all the same, with the scores that they have here.
    """
    rows = np.arange(len(boxes))
    values = scores.astype(np.float32).copy()
    sides = boxes.astype(np.float32)
    areas = (sides[:, 2] - sides[:, 0] + 1) * (sides[:, 3] - sides[:, 1] + 1)
    count, i = len(rows), 0
    while i < count:
        best = i + int(values[i:count].argmax())
        rows[[i, best]], values[[i, best]] = rows[[best, i]], values[[best, i]]
        others = rows[i + 1 : count]
        low = np.maximum(sides[others, :2], sides[rows[i], :2])
        high = np.minimum(sides[others, 2:], sides[rows[i], 2:])
        width, height = (high - low + 1).clip(min=0).T
        shared = width * height
        overlap = shared / (areas[others] + areas[rows[i]] - shared)
        touched = shared > 0
        values[i + 1 : count] *= np.where(touched, _weights(overlap, method, sigma, iou_threshold), 1)
        low_scores = np.zeros(len(rows), dtype=bool)
        low_scores[i + 1 : count] = touched & (values[i + 1 : count] < score_threshold)
        place = i + 1
        while place < count:
            if low_scores[place]:
                count -= 1
                for array in (rows, values, low_scores):
                    array[[place, count]] = array[[count, place]]
            else:
                place += 1
        i += 1
    return rows, values, count


def _weights(overlap: NDArray[np.float32], method: Method, sigma: float, threshold: float) -> NDArray[np.float32]:
    weights: NDArray[np.float32]
    if method == "gaussian":
        weights = np.exp(-(overlap * overlap) / sigma).astype(np.float32)
    else:
        lowered = 1 - overlap if method == "linear" else np.zeros_like(overlap)
        weights = np.where(overlap > threshold, lowered, 1).astype(np.float32)
    return weights


def merge_scales(
    boxes: NDArray[np.float32], labels: NDArray[np.int64], scores: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Merge what was found at several scales: soft suppression of each class, then the best of all.

    Args:
        boxes: N×4 of all scales.
        labels: N.
        scores: N.
        count: number of objects of an image.

    Returns:
        The rows of the `count` best, and their new scores; best first.
    """
    kept: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rows, new, _ = soft_nms(boxes[of_class], scores[of_class])
        kept.append(of_class[rows])
        values.append(new)
    if not kept:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    rows, new = np.concatenate(kept), np.concatenate(values)
    order = np.argsort(-new, kind="stable")[:count]
    return rows[order], new[order]
