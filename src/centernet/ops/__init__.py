"""Pure tensor functions: targets, losses, peaks and deformable convolution, on tensors alone."""

from centernet.ops.deformable import deform_conv2d as deform_conv2d
from centernet.ops.keypoints import best_cells as best_cells, nearest_peaks as nearest_peaks
from centernet.ops.losses import (
    distribution_loss as distribution_loss,
    focal_loss as focal_loss,
    identity_cross_entropy as identity_cross_entropy,
    identity_focal_loss as identity_focal_loss,
    l1_loss as l1_loss,
    quality_focal_loss as quality_focal_loss,
    smooth_l1_loss as smooth_l1_loss,
    supervised_contrastive_loss as supervised_contrastive_loss,
    triplet_loss as triplet_loss,
    weighted_bce_loss as weighted_bce_loss,
    weighted_iou_loss as weighted_iou_loss,
)
from centernet.ops.peaks import (
    Peaks as Peaks,
    find_peaks as find_peaks,
    find_peaks_of_levels as find_peaks_of_levels,
    gather_at as gather_at,
)
from centernet.ops.ranking import order_by_score as order_by_score, suppress as suppress
from centernet.ops.targets import (
    Targets as Targets,
    ellipse_radius as ellipse_radius,
    gaussian_radius as gaussian_radius,
)
