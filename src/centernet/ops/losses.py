"""Losses on raw maps: scalars in float32 whatever the precision around them, 0 with a gradient of 0 for no objects.

Sources: penalty-reduced focal loss, https://arxiv.org/abs/1904.07850 (CornerNet's, https://arxiv.org/abs/1808.01244);
quality and distribution focal loss, https://arxiv.org/abs/2006.04388; the IoU family is in `centernet.boxes`;
identities as in FairMOT, https://arxiv.org/abs/2004.01888, by batch-hard triplets, https://arxiv.org/abs/1703.07737,
and by supervised contrast, https://arxiv.org/abs/2004.11362.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from centernet.boxes import IoUKind, elementwise_iou


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    background: Tensor | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Compute the penalty-reduced focal loss of a heatmap, divided by the number of cells whose target is 1.

    Squares of the error focus on hard cells; (1 − target)⁴ forgives those near a centre.

    Args:
        logits: B×C×H×W, any float dtype, before the sigmoid.
        target: B×C×H×W float32 in [0, 1].
        background: B×C×H×W bool, False where a cell must not count as background (ignored regions).
        clamp: keep the probability within [clamp, 1 − clamp] as the original does with 1e-4 (no gradient beyond);
            None keeps every gradient alive.

    Returns:
        Scalar float32. Without any positive cell, the background's sum, undivided.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        if clamp is not None:
            limit = math.log((1 - clamp) / clamp)
            logits = logits.clamp(-limit, limit)
        positive = target == 1
        log_p = F.logsigmoid(logits)
        log_not_p = log_p - logits
        p = log_p.exp()
        negative = (1 - target).pow(4.0) * p.pow(2.0) * log_not_p  # 0 at the positives
        if background is not None:
            negative = negative * background
        total = negative.sum() + ((1 - p).pow(2.0) * log_p)[positive].sum()
        return -total / positive.sum().clamp(min=1)


def quality_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    background: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Compute the quality focal loss |y − p|² · BCE(p, y), for targets anywhere in [0, 1]: its sum over the number of
    cells with target 1.

    Args:
        logits: B×C×H×W, any float dtype.
        target: B×C×H×W float32 in [0, 1].
        background: as in `focal_loss`.
        normalizer: scalar above 0, in place of that number.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        terms = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        terms = terms * (target - logits.sigmoid()).abs().pow(2.0)
        if background is not None:
            terms = torch.where(background | (target == 1), terms, 0.0)
        return terms.sum() / ((target == 1).sum().clamp(min=1) if normalizer is None else normalizer)


def l1_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the sum of |prediction − target| over (number of values + 1e-4): the original's L1 at centre cells.

    Args:
        prediction: N×C, gathered at the objects' centre cells.
        target: N×C float32.
    """
    return F.l1_loss(prediction.float(), target, reduction="sum") / (target.numel() + 1e-4)


def smooth_l1_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the sum of smooth L1 over (number of objects + 1e-4), the original's option; shapes as in `l1_loss`."""
    return F.smooth_l1_loss(prediction.float(), target, reduction="sum") / (len(target) + 1e-4)


def weighted_bce_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted mean of the binary cross-entropy: sum(w · bce) / (sum(w) + 1e-4).

    Args:
        logits: S, any float dtype.
        target: S float32 in [0, 1].
        weights: S float32.
    """
    with torch.autocast(logits.device.type, enabled=False):
        terms = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
        return (terms * weights).sum() / (weights.sum() + 1e-4)


def distribution_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute the distribution focal loss: the cross-entropy with the two bins around a value, by its nearness to each.

    Source: https://arxiv.org/abs/2006.04388, equation 6.

    Args:
        logits: S×D×bins, any float dtype.
        target: S×D float32, in bins; values outside are those of the outermost bins.
        weights: S float32.

    Returns:
        Scalar float32, the mean over D and, by weight, over S.
    """
    with torch.autocast(logits.device.type, enabled=False):
        log_p = F.log_softmax(logits.float(), dim=-1)
        target = target.clamp(0, logits.shape[-1] - 1.001)
        lower = target.long()
        upper_share = (target - lower).unsqueeze(-1)
        lower = lower.unsqueeze(-1)
        terms = -(1 - upper_share) * log_p.gather(-1, lower) - upper_share * log_p.gather(-1, lower + 1)
        return (terms.squeeze(-1).mean(dim=-1) * weights).sum() / (weights.sum() + 1e-4)


def weighted_iou_loss(
    prediction: Tensor, target: Tensor, weights: Tensor, *, kind: IoUKind = "giou", inclusive: bool = False
) -> Tensor:
    """Compute the weighted mean of 1 − IoU: sum(w · (1 − iou)) / (sum(w) + 1e-4).

    Args:
        prediction: S×4 boxes, x1 y1 x2 y2 in input pixels.
        target: S×4 float32 boxes.
        weights: S float32.
        kind: `iou`, `giou`, `diou` or `ciou`.
        inclusive: count sides "+1" as TTFNet's code does.
    """
    with torch.autocast(prediction.device.type, enabled=False):
        iou = elementwise_iou(prediction.float(), target, kind=kind, inclusive=inclusive)
        return ((1 - iou) * weights).sum() / (weights.sum() + 1e-4)


def identity_cross_entropy(logits: Tensor, ids: Tensor) -> Tensor:
    """Compute the mean cross-entropy over the objects that have an identity.

    Args:
        logits: N×I, over the identities.
        ids: N int64; −1 for none.
    """
    total = F.cross_entropy(logits.float(), ids, ignore_index=-1, reduction="sum")
    return total / (ids >= 0).sum().clamp(min=1)


def identity_focal_loss(logits: Tensor, ids: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Compute the sigmoid focal loss of every identity against all others, over the objects: FairMOT's option.

    Source: https://arxiv.org/abs/1708.02002. Shapes as in `identity_cross_entropy`. `alpha` is the weight of the own
    identity, 1 − alpha that of the others, `gamma` the power of the error.
    """
    known = ids >= 0
    logits = logits[known].float()
    own = F.one_hot(ids[known], logits.shape[1]).to(logits.dtype)
    error = (own - logits.sigmoid()).abs()
    terms = F.binary_cross_entropy_with_logits(logits, own, reduction="none") * error.pow(gamma)
    return (terms * (own * alpha + (1 - own) * (1 - alpha))).sum() / known.sum().clamp(min=1)


def triplet_loss(embeddings: Tensor, ids: Tensor, *, margin: float) -> Tensor:
    """Compute the loss of batch-hard triplets: the farthest of the own identity is to be nearer than any other object.

    It is max(0, margin + farthest own − nearest other) in Euclidean distance, the mean over objects that have both.

    Args:
        embeddings: N×D float32 of length 1.
        ids: N int64, all of them 0 or more.
        margin: by which the own is to be nearer.
    """
    same = ids[:, None] == ids
    own = same & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    distances = (2 - 2 * embeddings @ embeddings.T).clamp(min=1e-8).sqrt()  # N×N
    far, near = torch.finfo(distances.dtype).max, torch.finfo(distances.dtype).min
    anchors = own.any(1) & (~same).any(1) if len(ids) else own.new_zeros(0)
    if not anchors.any():
        return embeddings.sum() * 0
    farthest = torch.where(own, distances, near)[anchors].amax(1)
    nearest = torch.where(same, far, distances)[anchors].amin(1)
    return F.relu(margin + farthest - nearest).mean()


def supervised_contrastive_loss(embeddings: Tensor, ids: Tensor, *, temperature: float) -> Tensor:
    """Compute the supervised contrast (its form "out"): each object of an identity is picked among all other objects.

    Args:
        embeddings: N×D float32 of length 1.
        ids: N int64, all of them 0 or more.
        temperature: similarities are divided by it.

    Returns:
        −mean over an object's own identity of log softmax over all others, mean over the objects whose identity comes
        again.
    """
    itself = torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    own = (ids[:, None] == ids) & ~itself
    anchors = own.any(1) if len(ids) else own.new_zeros(0)
    if not anchors.any():
        return embeddings.sum() * 0
    similarities = (embeddings @ embeddings.T / temperature).masked_fill(itself, -torch.inf)
    picked = F.log_softmax(similarities, dim=1).masked_fill(~own, 0.0)
    return -(picked.sum(1)[anchors] / own.sum(1)[anchors]).mean()
