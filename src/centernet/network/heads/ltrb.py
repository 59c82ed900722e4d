"""The box as distances from the cell's centre to its left, top, right and bottom side.

Source: https://arxiv.org/abs/1909.00700 (TTFNet). Differences: distances from the cell's centre instead of its corner,
a form without dead gradients instead of ReLU, IoU loss by choice, and the cells that train a box by choice. Distances
as distributions, and their loss: https://arxiv.org/abs/2006.04388.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.boxes import IoUKind, elementwise_iou
from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets, distribution_loss, gather_at, weighted_bce_loss, weighted_iou_loss
from centernet.ops.targets import Sampling


class LTRBHead(Head):
    """Left, top, right, bottom of each cell's box, in strides.

    Args:
        form: `exponential` or `softplus` of the map; both give positive distances with a gradient everywhere. Or
            `distribution`: each distance is the mean of 0, 1 … `bins` − 1 by the softmax of as many channels. `relu` is
            TTFNet's, without a gradient below 0.
        bins: of a distribution.
        origin: the point of a cell that distances count from: its `center`, or its `corner` at the top left (TTFNet's).
        multiplier: strides that a distance of 1 stands for; None: 1 for a distribution, else 4.
        class_specific: a box for each class; TTFNet's `wh_agnostic=False`.
        sampling: the cells that train a box: `center`, `center3x3`, or `ellipse` (Gaussian weights).
        beta: share of the box that the ellipse spans.
        loss: `iou`, `giou`, `diou` or `ciou`.
        weight: of the loss.
        quality: weight of a fifth channel's loss, which learns the IoU of the cell's own box: the score of a detection
            becomes score · √IoU, after IoU-aware detectors (https://arxiv.org/abs/1912.05992). 0 for none.
        layers: further options, those of `tower`: width, depth, convolution and norm.
    """

    proportional = True

    def __init__(
        self,
        in_channels: int,
        stride: int,
        num_classes: int,
        *,
        form: Literal["exponential", "softplus", "distribution", "relu"] = "softplus",
        bins: int = 8,
        origin: Literal["center", "corner"] = "center",
        multiplier: float | None = None,
        class_specific: bool = False,
        sampling: Sampling = "ellipse",
        beta: float = 0.54,
        loss: IoUKind = "giou",
        weight: float = 5.0,
        quality: float = 0.0,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.numbers = 4 * bins if form == "distribution" else 4  # of the distances of a box
        self.sizes = num_classes if class_specific else 1
        self.channels = self.numbers * self.sizes
        self.layers = tower(in_channels, self.channels + (quality > 0), **layers)
        last: Any = self.layers[-1]
        nn.init.normal_(last.weight, std=0.01)
        start = {"softplus": math.log(math.e - 1), "relu": 1.0}.get(form, 0.0)  # as exponential, they begin with 1
        nn.init.constant_(last.bias, start)
        if multiplier is None:
            multiplier = 1.0 if form == "distribution" else 4.0
        self.form, self.bins, self.multiplier, self.stride = form, bins, multiplier, stride
        self.steps: Tensor
        self.register_buffer("steps", torch.arange(float(bins)), persistent=False)
        self.shift = 0.5 if origin == "center" else 0.0
        self.sampling, self.beta = sampling, beta
        self.loss_name, self.weight, self.quality = loss, weight, quality

    def boxes(self, raw: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the boxes of cells.

        Args:
            raw: …×4, or …×(4·bins) of distributions, values of the map at the cells.
            x: … column of each cell.
            y: … row of each cell.

        Returns:
            …×4 float32, x1 y1 x2 y2 in input pixels.
        """
        with torch.autocast(raw.device.type, enabled=False):
            raw = raw.float()
            if self.form == "distribution":
                distances = raw.reshape(*raw.shape[:-1], 4, self.bins).softmax(dim=-1)
                distances = (distances * self.steps).sum(
                    dim=-1
                )  # runtimes take a product with a vector ten times as long
            elif self.form == "exponential":
                # The largest exponent spans 2^14 strides: no image is larger, and float32 keeps its gradient.
                distances = raw.clamp(max=math.log(2**14)).exp()
            else:
                distances = F.softplus(raw) if self.form == "softplus" else raw.relu()
            distances = distances * (self.multiplier * self.stride)
            center = torch.stack([x.float() + self.shift, y.float() + self.shift], dim=-1) * self.stride
            return torch.cat([center - distances[..., :2], center + distances[..., 2:]], dim=-1)

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        samples = targets.samples(self.sampling, beta=self.beta)
        height, width = targets.grid
        raw = output.permute(0, 2, 3, 1).flatten(0, 2)[samples.cells]
        x, y = samples.cells % width, samples.cells // width % height
        own = self._of_class(raw, targets.object_labels[samples.objects])
        boxes = self.boxes(own, x, y)
        truth = targets.object_boxes[samples.objects]
        terms = {"box": self.weight * weighted_iou_loss(boxes, truth, samples.weights, kind=self.loss_name)}
        if self.form == "distribution":
            center = torch.stack([x + self.shift, y + self.shift], dim=-1) * self.stride
            distances = torch.cat([center - truth[:, :2], truth[:, 2:] - center], dim=-1)
            logits = own.reshape(-1, 4, self.bins)
            term = distribution_loss(logits, distances / (self.multiplier * self.stride), samples.weights)
            terms["distribution"] = self.weight / 8 * term
        if self.quality:
            iou = elementwise_iou(boxes.detach(), truth).clamp(min=0)
            terms["quality"] = self.quality * weighted_bce_loss(raw[:, -1], iou, samples.weights)
        return terms

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        raw = gather_at(output, peaks.cells)
        detections = {"bboxes": self.boxes(self._of_class(raw, peaks.labels), peaks.x, peaks.y)}
        if self.quality:
            detections["scores"] = peaks.scores * raw[..., -1].float().sigmoid().sqrt()
        return detections

    def _of_class(self, raw: Tensor, labels: Tensor) -> Tensor:
        """Values …×C and labels … → the distances of the boxes of those classes."""
        distances = raw[..., : self.channels]
        if self.sizes == 1:
            return distances
        distances = distances.reshape(*labels.shape, self.sizes, self.numbers)
        index = labels[..., None, None].expand(*labels.shape, 1, self.numbers)
        return distances.gather(-2, index).squeeze(-2)
