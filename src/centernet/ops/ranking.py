"""Decoded detections in a new order: by score, or without those that better ones cover."""

from __future__ import annotations

import torch
from torch import Tensor

from centernet.ops.peaks import rows_at


def order_by_score(detections: dict[str, Tensor], limit: int | None = None) -> dict[str, Tensor]:
    """Order the rows of each image by score, best first.

    Args:
        detections: B×K×… each, with `scores`.
        limit: keep so many rows, or all where there are fewer.
    """
    rows = detections["scores"].shape[1]
    scores, order = detections["scores"].topk(
        rows if limit is None else min(limit, rows), dim=1
    )  # ONNX has no stable sort
    # A gather, as exporters take no index of which the batch is a part.
    places = {value.ndim: order.reshape(*order.shape, *[1] * (value.ndim - 2)) for value in detections.values()}
    ordered = {
        name: value.gather(1, places[value.ndim].expand(-1, -1, *value.shape[2:])) for name, value in detections.items()
    }
    return ordered | {"scores": scores}


SPREAD = 0.025
"""Width of the weights of overlaps in a merged box: one of .84 weighs 1/e of one of 1."""


def suppress(
    detections: dict[str, Tensor], iou: float, limit: int | None = None, *, merge: bool = False
) -> dict[str, Tensor]:
    """Suppress boxes of a class that better ones cover: their rows get score 0 and go to the end.

    All pairs at once, so that it is a part of every exported graph. A first round suppresses whatever a better box
    covers (https://arxiv.org/abs/1904.02689, section 4.1), each further one gives back what only suppressed boxes cover
    and takes again: three are what going through the boxes one by one gives, unless a box hangs on a chain of more than
    three that cover each other in turn.

    Args:
        detections: B×K×… each, with `bboxes`, `labels` and `scores`, best first.
        iou: boxes of a class that overlap a better one by more are suppressed.
        limit: keep so many rows, or all where there are fewer.
        merge: a box becomes the mean of all of its class that overlap it by more than `iou`, itself among them, by
            score · exp(−(1 − IoU)² / .025) (https://arxiv.org/abs/1809.08545, with equal variances).
    """
    bboxes, labels, scores = (detections[name] for name in ("bboxes", "labels", "scores"))
    rank = torch.ones_like(labels, dtype=torch.float32).cumsum(dim=1)  # B×K: as constants, pairs would fill a file
    corners = bboxes.float()
    x1, y1, x2, y2 = corners.split(1, dim=2)  # type: ignore[no-untyped-call]
    areas = (x2 - x1).relu() * (y2 - y1).relu()  # B×K×1

    def shared(low: Tensor, high: Tensor) -> Tensor:
        return torch.minimum(high, high.transpose(1, 2)) - torch.maximum(low, low.transpose(1, 2))

    # The overlap I / (A + B − I) is above t where I is above t / (1 + t) · (A + B). Below 0 it is none.
    shares = shared(x1, x2).relu() * shared(y1, y2)
    limits = areas * (iou / (1 + iou))
    kinds = labels.to(torch.float32)  # runtimes compare floats in half the time
    better = rank[:, :, None] > rank[:, None]
    covers = (shares > limits + limits.transpose(1, 2)) & (kinds[:, :, None] == kinds[:, None]) & better
    counted = covers.to(torch.float32)  # row by column; products are what runtimes are quickest at
    kept = (counted.sum(dim=2, keepdim=True) < 0.5).to(torch.float32)
    for _ in range(2):
        kept = (counted @ kept < 0.5).to(torch.float32)
    left = detections | {"scores": scores * kept.squeeze(2)}
    if not merge:
        return order_by_score(left, limit)
    found = order_by_score(left | {"own": areas, "row": rank}, limit)
    rows = rows_at(shares, found.pop("row").to(torch.int64) - 1)
    overlaps = rows / (found.pop("own") + areas.transpose(1, 2) - rows).clamp(min=torch.finfo(torch.float32).eps)
    counts = (overlaps > iou) & (found["labels"].to(torch.float32)[:, :, None] == kinds[:, None])
    further = 1 - overlaps
    weights = torch.exp(further * further * (-1 / SPREAD)) * counts
    sums = weights @ torch.cat([corners * scores.unsqueeze(2), scores.unsqueeze(2)], dim=2)
    merged, total = sums.split(4, dim=2)
    merged = merged / total.clamp(min=torch.finfo(torch.float32).tiny)
    return found | {"bboxes": torch.where(total > 0, merged, found["bboxes"])}
