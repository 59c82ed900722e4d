"""The heatmap: one channel a class, high at objects' centres. It finds the peaks that all other heads are read at.

Source: https://arxiv.org/abs/1904.07850, section 3. Differences: Gaussian radii by choice, logits instead of clamped
probabilities in the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets, find_peaks, find_peaks_of_levels, focal_loss, quality_focal_loss
from centernet.ops.targets import Radius


class HeatmapHead(Head):
    """Class scores of every cell, and the peaks among them.

    Args:
        radius: `original`, `corrected`, or `ellipse` (TTFNet's).
        min_overlap: IoU that a shifted box keeps, for the first two.
        alpha: share of the box that the ellipse spans.
        loss: penalty-reduced `focal`, or `quality_focal`.
        logit_clamp: keep probabilities within [c, 1 − c] in the focal loss (the original: 1e-4).
        weight: of the loss.
        prior: probability that every cell starts with.
        kernel: side of the neighbourhood that a peak dominates, odd.
        order: top-k `per_class`, or of each cell's `class_maximum`.
        layers: further options, those of `tower`: width, depth, convolution and norm.
    """

    proportional = True

    def __init__(
        self,
        in_channels: int,
        stride: int,
        num_classes: int,
        *,
        radius: Radius = "ellipse",
        min_overlap: float = 0.7,
        alpha: float = 0.54,
        loss: Literal["focal", "quality_focal"] = "focal",
        logit_clamp: float | None = None,
        weight: float = 1.0,
        prior: float = 0.1,
        kernel: int = 3,
        order: Literal["per_class", "class_maximum"] = "per_class",
        **layers: Any,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel={kernel}: the neighbourhood of a peak has an odd side")
        if logit_clamp is not None and loss != "focal":
            raise ValueError("logit_clamp belongs to loss: focal")
        self.layers = tower(in_channels, num_classes, **layers)
        last: Any = self.layers[-1]
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, -math.log((1 - prior) / prior))
        self.radius, self.min_overlap, self.alpha = radius, min_overlap, alpha
        self.loss_name, self.logit_clamp, self.weight = loss, logit_clamp, weight
        self.kernel, self.order = kernel, order

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        radii = targets.radii(self.radius, min_overlap=self.min_overlap, alpha=self.alpha)
        heatmap = targets.heatmap(radii)
        if self.loss_name == "quality_focal":
            value = quality_focal_loss(output, heatmap, background=targets.background)
        else:
            value = focal_loss(output, heatmap, background=targets.background, clamp=self.logit_clamp)
        return {"heatmap": self.weight * value}

    def find_peaks(
        self,
        output: Tensor | list[Tensor],
        num_peaks: int,
        *,
        labels: Sequence[int] | None = None,
        margin: float = 0.0,
    ) -> Peaks:
        """Find the best `num_peaks` cells of each image, of some classes or all, in a map or those of all levels."""
        options: dict[str, Any] = {"kernel": self.kernel, "order": self.order, "labels": labels, "margin": margin}
        if isinstance(output, list):
            return find_peaks_of_levels(output, num_peaks, **options)
        return find_peaks(output, num_peaks, **options)

    def with_mirror(self, output: Tensor, mirrored: Tensor) -> Tensor:
        return torch.logit((output.float().sigmoid() + mirrored.float().sigmoid()) / 2, eps=1e-7)

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        return {}  # every detection begins with the peaks' scores and labels
