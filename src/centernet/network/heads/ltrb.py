"""The box as distances from the cell's centre to its left, top, right and bottom side.

Source: https://arxiv.org/abs/1909.00700 (TTFNet). Differences: distances from the cell's centre instead of its corner,
a form without dead gradients instead of ReLU, IoU loss by choice, and the cells that train a box by choice.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.boxes import IoUKind, elementwise_iou
from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets, gather_at, weighted_bce_loss, weighted_iou_loss
from centernet.ops.targets import Sampling


class LTRBHead(Head):
    """Left, top, right, bottom of each cell's box, in strides.

    Args:
        form: `exponential` or `softplus` of the map; both give positive distances with a gradient everywhere.
        multiplier: strides that a value of 1 stands for.
        sampling: the cells that train a box: `center`, `center3x3`, or `ellipse` (Gaussian weights).
        beta: share of the box that the ellipse spans.
        loss: `iou`, `giou`, `diou` or `ciou`.
        weight: of the loss.
        quality: weight of a fifth channel's loss, which learns the IoU of the cell's own box: the score of a detection
            becomes score · √IoU, after IoU-aware detectors (https://arxiv.org/abs/1912.05992). 0 for none.
        layers: further options, those of `tower`: width, depth, convolution and norm.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int,
        num_classes: int,
        *,
        form: Literal["exponential", "softplus"] = "softplus",
        multiplier: float = 4.0,
        sampling: Sampling = "ellipse",
        beta: float = 0.54,
        loss: IoUKind = "giou",
        weight: float = 5.0,
        quality: float = 0.0,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.layers = tower(in_channels, 5 if quality else 4, **layers)
        last: Any = self.layers[-1]
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, 0.0 if form == "exponential" else math.log(math.e - 1))  # both start at 1
        self.form, self.multiplier, self.stride = form, multiplier, stride
        self.sampling, self.beta = sampling, beta
        self.loss_name, self.weight, self.quality = loss, weight, quality

    def boxes(self, raw: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the boxes of cells.

        Args:
            raw: …×4 values of the map at the cells.
            x: … column of each cell.
            y: … row of each cell.

        Returns:
            …×4 float32, x1 y1 x2 y2 in input pixels.
        """
        with torch.autocast(raw.device.type, enabled=False):
            raw = raw.float()
            # The largest exponent spans 2^14 strides: no image is larger, and float32 keeps its gradient.
            distances = raw.clamp(max=math.log(2**14)).exp() if self.form == "exponential" else F.softplus(raw)
            distances = distances * (self.multiplier * self.stride)
            center = torch.stack([x.float() + 0.5, y.float() + 0.5], dim=-1) * self.stride
            return torch.cat([center - distances[..., :2], center + distances[..., 2:]], dim=-1)

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        samples = targets.samples(self.sampling, beta=self.beta)
        height, width = targets.grid
        raw = output.permute(0, 2, 3, 1).flatten(0, 2)[samples.cells]
        boxes = self.boxes(raw[:, :4], samples.cells % width, samples.cells // width % height)
        truth = targets.object_boxes[samples.objects]
        terms = {"box": self.weight * weighted_iou_loss(boxes, truth, samples.weights, kind=self.loss_name)}
        if self.quality:
            iou = elementwise_iou(boxes.detach(), truth).clamp(min=0)
            terms["quality"] = self.quality * weighted_bce_loss(raw[:, 4], iou, samples.weights)
        return terms

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        raw = gather_at(output, peaks.cells)
        detections = {"bboxes": self.boxes(raw[..., :4], peaks.x, peaks.y)}
        if self.quality:
            detections["scores"] = peaks.scores * raw[..., 4].float().sigmoid().sqrt()
        return detections
