"""Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021, arXiv:1910.13302): the boxes of several models as one set.

The values are those of the package ensemble-boxes (`weighted_boxes_fusion` with ``conf_type="avg"``), for boxes in any
unit, and for models that do not all know the same classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from centernet.boxes import iou

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FUSION_IOU = 0.55
"""Overlap beyond which boxes are of one object, as in the paper."""


def fuse_boxes(
    boxes: ArrayLike,
    scores: ArrayLike,
    labels: ArrayLike,
    sources: ArrayLike,
    weights: ArrayLike,
    *,
    iou_threshold: float = FUSION_IOU,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Fuse the boxes that several sources (models, or views of one) found in an image.

    The boxes of a class are taken by weight times score, best first. Each joins the cluster whose fused box it overlaps
    most, if by more than `iou_threshold`, else it begins one. A fused box is the mean of its n members, weighted by
    weight times score. Its score is the mean of these n products, times ``min(n, T) / W`` for T sources of the sum of
    weights W: what one of four equal sources finds has a quarter of its score.

    Args:
        boxes: M×4, x1 y1 x2 y2 in any unit.
        scores: M, of at least 0; boxes of score 0 are left out.
        labels: M, from 0.
        sources: M, the source of each box, from 0.
        weights: S, one of each source; or S×L, by class, 0 where a source does not know the class: then it neither
            gives boxes of it, nor lowers the scores of what others find.
        iou_threshold: within 0..1.

    Returns:
        boxes N×4, scores N and labels N, best first.

    Raises:
        ValueError: arrays of other shapes.
    """
    boxes, scores = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64).reshape(-1)
    labels, sources = (np.asarray(values, np.int64).reshape(-1) for values in (labels, sources))
    if not len(boxes) == len(scores) == len(labels) == len(sources):
        lengths = ", ".join(str(len(values)) for values in (boxes, scores, labels, sources))
        raise ValueError(f"expected as many scores, labels and sources as boxes, got {lengths}")
    table = np.asarray(weights, np.float64)
    if table.ndim == 1:
        table = np.repeat(table[:, None], labels.max(initial=0) + 1, axis=1)
    if table.ndim != 2 or sources.max(initial=0) >= len(table) or labels.max(initial=0) >= table.shape[1]:
        raise ValueError(f"weights: expected one of each source, or by source and class, got {np.shape(weights)}")
    strengths = scores * table[sources, labels]
    order = np.argsort(-strengths, kind="stable")
    order = order[strengths[order] > 0]
    fused, strong, kinds = [np.zeros((0, 4))], [np.zeros(0)], [np.zeros(0, np.int64)]
    for label in np.unique(labels[order]).tolist():
        rows = order[labels[order] == label]
        clusters, sums, members = _clusters(boxes[rows], strengths[rows], iou_threshold)
        of_class = table[:, label]
        most = np.minimum(members, np.count_nonzero(of_class))
        fused.append(clusters)
        strong.append(sums / members * most / of_class.sum())
        kinds.append(np.full(len(clusters), label))
    all_scores = np.concatenate(strong)
    best = np.argsort(-all_scores, kind="stable")
    all_boxes, all_labels = np.concatenate(fused)[best], np.concatenate(kinds)[best]
    return all_boxes.astype(np.float32), all_scores[best].astype(np.float32), all_labels.astype(np.int64)


def _clusters(
    boxes: NDArray[np.float64], strengths: NDArray[np.float64], iou_threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the fused boxes of one class, the sum of strengths of each, and its number of members."""
    fused, weighted = np.zeros_like(boxes), np.zeros_like(boxes)
    sums, members = np.zeros(len(boxes)), np.zeros(len(boxes), np.int64)
    count = 0
    for box, strength in zip(boxes, strengths, strict=True):
        overlaps = iou(box[None], fused[:count])[0]
        place = int(overlaps.argmax()) if count else 0
        if not count or overlaps[place] <= iou_threshold:
            place = count
            count += 1
        weighted[place] += strength * box
        sums[place] += strength
        members[place] += 1
        fused[place] = weighted[place] / sums[place]
    return fused[:count], sums[:count], members[:count]
