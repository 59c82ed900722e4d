"""Pure tensor functions: targets, losses and peaks, on tensors alone."""

from centernet.ops.losses import (
    focal_loss,
    identity_cross_entropy,
    identity_focal_loss,
    l1_loss,
    quality_focal_loss,
    smooth_l1_loss,
    supervised_contrastive_loss,
    triplet_loss,
    weighted_bce_loss,
    weighted_iou_loss,
)
from centernet.ops.peaks import Peaks, find_peaks, gather_at
from centernet.ops.ranking import order_by_score, suppress
from centernet.ops.targets import Targets, ellipse_radius, gaussian_radius

__all__ = [
    "Peaks",
    "Targets",
    "ellipse_radius",
    "find_peaks",
    "focal_loss",
    "gather_at",
    "gaussian_radius",
    "identity_cross_entropy",
    "identity_focal_loss",
    "l1_loss",
    "order_by_score",
    "quality_focal_loss",
    "smooth_l1_loss",
    "supervised_contrastive_loss",
    "suppress",
    "triplet_loss",
    "weighted_bce_loss",
    "weighted_iou_loss",
]
