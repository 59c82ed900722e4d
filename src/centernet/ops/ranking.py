"""Decoded detections in a new order: by score, or without those that better ones cover."""

from __future__ import annotations

import torch
from torch import Tensor

from centernet.boxes import iou as pairwise_iou


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
    rank = torch.arange(bboxes.shape[1], device=bboxes.device)
    better = rank[:, None] > rank
    overlaps = pairwise_iou(bboxes, bboxes)
    covers = (overlaps > iou) & (labels[:, :, None] == labels[:, None, :]) & better  # row by column
    counted = covers.to(torch.float32)  # products are what runtimes are quickest at
    kept = torch.ones_like(counted[:, :1]).transpose(1, 2)  # B×K×1
    for _ in range(3):
        kept = (counted @ kept < 0.5).to(torch.float32)
    left = detections | {"scores": scores * kept.squeeze(2)}
    if not merge:
        return order_by_score(left, limit)
    found = order_by_score(left | {"overlaps": overlaps}, limit)
    overlaps = found.pop("overlaps")
    counts = (overlaps > iou) & (found["labels"][:, :, None] == labels[:, None, :])
    weights = torch.exp(-((1 - overlaps) ** 2) / SPREAD) * counts * scores[:, None]
    total = weights.sum(dim=2, keepdim=True)
    merged = weights @ bboxes.float() / total.clamp(min=torch.finfo(torch.float32).tiny)
    return found | {"bboxes": torch.where(total > 0, merged, found["bboxes"])}
