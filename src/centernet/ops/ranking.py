"""Rows of decoded detections in a new order: by the quality of their boxes, or without those that others cover."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms


def rank_by_quality(detections: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scores become score · √quality, after IoU-aware detectors (https://arxiv.org/abs/1912.05992); what is
    surely nothing keeps a score near 0.

    Args:
        detections: B×K×… each, with `scores` and `quality`.

    Returns:
        The same without `quality`, best first.
    """
    rest = {name: value for name, value in detections.items() if name != "quality"}
    scores = detections["scores"] * detections["quality"].sqrt()
    scores, order = scores.topk(scores.shape[1], dim=1)  # a stable sort has no counterpart in ONNX
    return _ordered(rest, order) | {"scores": scores}


def suppress(detections: dict[str, Tensor], iou: float) -> dict[str, Tensor]:
    """Non-maximum suppression per class: suppressed rows get score 0 and go to the end.

    Args:
        detections: B×K×… each, with `bboxes`, `labels` and `scores`.
        iou: boxes of a class that overlap a better one by more are suppressed.
    """
    scores = detections["scores"].clone()
    for i in range(len(scores)):
        keep = batched_nms(detections["bboxes"][i], scores[i], detections["labels"][i], iou)
        kept = torch.zeros_like(scores[i], dtype=torch.bool)
        kept[keep] = True
        scores[i] = torch.where(kept, scores[i], 0.0)
    scores, order = scores.topk(scores.shape[1], dim=1)  # a stable sort has no counterpart in ONNX
    return _ordered(detections, order) | {"scores": scores}


def _ordered(detections: dict[str, Tensor], order: Tensor) -> dict[str, Tensor]:
    """Rows by B×K places; a gather, as exporters take no index of which the batch is a part."""
    places = {value.ndim: order.reshape(*order.shape, *[1] * (value.ndim - 2)) for value in detections.values()}
    return {
        name: value.gather(1, places[value.ndim].expand(-1, -1, *value.shape[2:])) for name, value in detections.items()
    }
