"""Pure tensor functions: targets, losses and peaks. They know tensors and nothing of models or files."""

from centernet.ops.losses import (
    focal_loss,
    l1_loss,
    quality_focal_loss,
    smooth_l1_loss,
    weighted_iou_loss,
)
from centernet.ops.peaks import Peaks, find_peaks, gather_at
from centernet.ops.targets import Samples, Targets, ellipse_radius, gaussian_radius

__all__ = [
    "Peaks",
    "Samples",
    "Targets",
    "ellipse_radius",
    "find_peaks",
    "focal_loss",
    "gather_at",
    "gaussian_radius",
    "l1_loss",
    "quality_focal_loss",
    "smooth_l1_loss",
    "weighted_iou_loss",
]
