"""Pure tensor functions: targets, losses and peaks, on tensors alone."""

from centernet.ops.losses import focal_loss as focal_loss
from centernet.ops.losses import identity_cross_entropy as identity_cross_entropy
from centernet.ops.losses import identity_focal_loss as identity_focal_loss
from centernet.ops.losses import l1_loss as l1_loss
from centernet.ops.losses import quality_focal_loss as quality_focal_loss
from centernet.ops.losses import smooth_l1_loss as smooth_l1_loss
from centernet.ops.losses import supervised_contrastive_loss as supervised_contrastive_loss
from centernet.ops.losses import triplet_loss as triplet_loss
from centernet.ops.losses import weighted_bce_loss as weighted_bce_loss
from centernet.ops.losses import weighted_iou_loss as weighted_iou_loss
from centernet.ops.peaks import Peaks as Peaks
from centernet.ops.peaks import find_peaks as find_peaks
from centernet.ops.peaks import gather_at as gather_at
from centernet.ops.ranking import order_by_score as order_by_score
from centernet.ops.ranking import suppress as suppress
from centernet.ops.targets import Targets as Targets
from centernet.ops.targets import ellipse_radius as ellipse_radius
from centernet.ops.targets import gaussian_radius as gaussian_radius
