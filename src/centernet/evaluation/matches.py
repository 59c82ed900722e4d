"""COCO's matches of detections and true boxes as arrays: what bootstraps draw from, and what is said of single images.

`hotcoco` computes the figures; it gives its matches as a dictionary for each image, class and size, which take a fifth
of the time to build that a small network takes for the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from centernet.boxes import intersection_over_area

from .collecting import Bools, Collected, Floats, Ints
from .pairs import Pairs

IOU_LIMITS = np.linspace(0.5, 0.95, 10)
AREAS = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))
"""COCO's sizes of objects, square pixels: all, small, medium, large."""
MOST = 100  # detections of a class and image


@dataclass(frozen=True, eq=False)
class Matches:
    """M detections, by class and falling score, with what became of them for A sizes (`AREAS`) and T limits.

    Attributes:
        row: M, the row of each in what was `Collected`.
        image, label, score: M.
        rank: M, place among those of its image and class, from 0.
        true: A×T×M bool, right ones.
        counted: A×T×M bool, right or wrong; others lie on what is to be ignored.
        base: A×M bool, what would count if no detection had a match.
        truth_image, truth_label: N, of the true boxes.
        objects: A×N bool, true boxes that count.
        found: M, the row of the true box that each has at the limit of .5 and of any size; -1 for none.
    """

    row: Ints
    image: Ints
    label: Ints
    score: Floats
    rank: Ints
    true: Bools
    counted: Bools
    base: Bools
    truth_image: Ints
    truth_label: Ints
    objects: Bools
    found: Ints

    @classmethod
    def of(cls, collected: Collected, num_classes: int) -> Matches:
        """Match as COCO does: each detection, best first, takes the free object of its class that it fits best."""
        collected = collected.with_a_region_for_each_class(num_classes)
        classes = max(num_classes, 1)
        group = collected.image * classes + collected.label
        by_group = np.lexsort((-collected.score, group))
        rank = np.empty(len(group), np.int64)
        starts = np.searchsorted(group[by_group], group[by_group], "left")
        rank[by_group] = np.arange(len(group)) - starts
        row = np.flatnonzero(rank < MOST)
        row = row[np.lexsort((collected.image[row], -collected.score[row], collected.label[row]))]

        low, high = np.array(AREAS).T[..., None]
        outside = (collected.truth_area < low) | (collected.truth_area > high)
        ignored = collected.truth_ignore | outside
        boxes = collected.boxes[row]
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        base = (area >= low) & (area <= high)
        taken = _take(collected, row, rank[row], group[row], classes, ignored)  # A×T×M rows of the truth
        matched = taken >= 0
        on_ignored = np.stack([flags[rows] for flags, rows in zip(ignored, taken, strict=True)]) & matched
        counted = np.where(matched, ~on_ignored, base[:, None])
        return cls(
            row=row,
            image=collected.image[row],
            label=collected.label[row],
            score=collected.score[row],
            rank=rank[row],
            true=matched & ~on_ignored,
            counted=counted,
            base=base,
            truth_image=collected.truth_image,
            truth_label=collected.truth_label,
            objects=~ignored,
            found=taken[0, 0],
        )


def _take(collected: Collected, row: Ints, rank: Ints, group: Ints, classes: int, ignored: Bools) -> Ints:
    """Return A×T×M, the row of the true box that each detection takes; -1 for none."""
    truth_group = collected.truth_image * classes + collected.truth_label
    truth_order, order = np.argsort(truth_group, kind="stable"), np.argsort(group, kind="stable")
    truth_boxes, boxes = collected.truth_boxes[truth_order], collected.boxes[row][order]
    pairs = Pairs.find(truth_group[truth_order], truth_boxes, group[order], boxes)
    truth, found, overlap = truth_order[pairs.truth], order[pairs.found], pairs.iou
    crowd = collected.truth_ignore
    if crowd[truth].any():  # a region's overlap is the share of the detection in it
        inside = crowd[truth]
        share = intersection_over_area(boxes[pairs.found[inside], None], truth_boxes[pairs.truth[inside], None])
        overlap[inside] = share[:, 0, 0]
    likely = overlap >= IOU_LIMITS[0]
    truth, found, overlap = truth[likely], found[likely], overlap[likely]
    order = np.lexsort((truth, rank[found], group[found]))
    truth, found, overlap = truth[order], found[order], overlap[order]
    shape = len(ignored), len(IOU_LIMITS)
    taken, free = np.full((*shape, len(row)), -1), np.ones((*shape, len(crowd)), np.bool_)
    for here in _rounds(group[found], found):
        own, other, iou = truth[here], found[here], overlap[here]
        can = (iou >= IOU_LIMITS[:, None]) & (free[..., own] | crowd[own])  # A×T×P
        worth = np.where(can, iou + 2.0 * ~ignored[:, None, own], -1.0)
        detections, first = np.unique(other, return_index=True)
        best = np.maximum.reduceat(worth, first, axis=-1)
        number = np.diff(np.append(first, len(other)))
        is_best = (worth == np.repeat(best, number, axis=-1)) & can
        last = np.maximum.reduceat(np.where(is_best, np.arange(len(own)), -1), first, axis=-1)  # of equals the last
        chosen = np.where(last >= 0, own[last], -1)
        taken[..., detections] = chosen
        area, limit, place = np.nonzero(chosen >= 0)
        free[area, limit, chosen[area, limit, place]] = False
    return taken


def _rounds(group: Ints, found: Ints) -> list[Ints]:
    """Part pairs, by group and rank of the detection, into rounds with one detection of each group, best ones first."""
    if not len(found):
        return []
    new = np.append(True, found[1:] != found[:-1])
    number = np.cumsum(new) - 1  # of the detection among all
    start = np.append(True, group[1:] != group[:-1])
    of_group = np.maximum.accumulate(np.where(start, number, 0))
    turn = number - of_group
    order = np.lexsort((np.arange(len(turn)), found, turn))
    return np.split(order, np.flatnonzero(np.diff(turn[order])) + 1)
