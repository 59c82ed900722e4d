"""The box in space: depth, height, width and length, and the turn of an object, from one image.

Source: https://arxiv.org/abs/1904.07850, section 4.1 and the original's `ddd`; turns in two bins:
https://arxiv.org/abs/1612.00496. Differences: the place where the image shows the box's centre is learned too (the
original takes the middle of the box in the image, which is another one, all the more where the image cuts an object),
losses are means over objects, not over padded rows, and mirroring and zoom of the augmentation reach the targets.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.boxes3d import FIELDS
from centernet.detections import Column
from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets, gather_at, l1_loss

ROTATION, DIMENSIONS, OFFSET = slice(1, 9), slice(9, 12), slice(12, 14)
"""Channels of the map behind that of the depth."""
CENTERS = -math.pi / 2, math.pi / 2
"""Centres of the two bins of alpha. Each reaches 2/3 π to both sides, so that they overlap."""
ONLY_WITH = {"rotation_y": True, "ruler": True, "alpha": False}
"""Fields of the data that are needed with an offset alone, or without one."""
START = 20.0, (1.5, 1.6, 3.5)
"""Depth and dimensions in metres that the map begins with."""


class Truth(NamedTuple):
    """Targets of the map at the centres of N objects whose box in space is known."""

    cells: Tensor  # N int64, flat index of the cell over batch × grid
    depth: Tensor  # N float32, metres
    dimensions: Tensor  # N×3 float32, height, width, length in metres
    bins: Tensor  # N×2 bool, the bins that hold alpha
    residuals: Tensor  # N×2 float32, alpha less the centre of each bin
    offsets: Tensor  # N×2 float32, from the cell's corner to the projected centre, in cells


class Box3DHead(Head):
    """Depth, turn, size and projected centre of each cell's box in space; a tower each, one map.

    Channels: depth (1 / sigmoid - 1 metres), alpha (two bins, each with two logits and the sine and cosine of what is
    beyond its centre), height, width and length in metres, and with `offset` the projected centre in cells from the
    cell's corner. With the camera matrix `centernet.boxes3d.boxes_in_space` makes boxes in space of the columns.

    The data must have the fields of `centernet.boxes3d`, as `centernet.data.KITTI` has them with ``boxes3d: true``.
    Objects of which nothing is known in space train nothing.

    Args:
        offset: the place where the box's centre is seen; without it, it is the middle of the box in the image, and
            alpha is that of the labels, as the original has it.
        focal_length: of the camera, in pixels of the input: depth then follows the zoom of the augmentation. None:
            depth is learned as it is labelled, and augmentation is not to zoom.
        depth_weight, dimensions_weight, rotation_weight, offset_weight: of the losses.
        layers: further options, those of `tower`, for all towers: width, depth, convolution and norm.
    """

    proportional = True

    def __init__(
        self,
        in_channels: int,
        stride: int,
        num_classes: int,
        *,
        offset: bool = True,
        focal_length: float | None = None,
        depth_weight: float = 1.0,
        dimensions_weight: float = 1.0,
        rotation_weight: float = 1.0,
        offset_weight: float = 1.0,
        **layers: Any,
    ) -> None:
        super().__init__()
        if focal_length is not None and focal_length <= 0:
            raise ValueError(f"focal_length={focal_length}: expected pixels of the input, above 0")
        if focal_length is not None and not offset:
            raise ValueError("focal_length needs offset: true: zoom is told by the field of projected centres")
        self.distance = tower(in_channels, 1, **layers)
        self.rotation = tower(in_channels, 8, **layers)
        self.dimensions = tower(in_channels, 3, **layers)
        self.offset = tower(in_channels, 2, **layers) if offset else None
        metres, sizes = START
        for part, start in ((self.distance, [-math.log(metres)]), (self.dimensions, sizes), (self.offset, [0.5, 0.5])):
            if part is not None:
                last: Any = part[-1]
                nn.init.normal_(last.weight, std=0.001)
                last.bias.data = torch.tensor(start)
        self.stride, self.focal_length = stride, focal_length
        self.weights = {
            "depth": depth_weight,
            "dimensions": dimensions_weight,
            "rotation": rotation_weight,
            "offset": offset_weight,
        }
        values = Column("depth", "value"), Column("dimensions", "value", (3,)), Column("alpha", "value")
        self.columns = (*values, Column("projected_center", "points", (2,))) if offset else values
        self.fields = tuple(field for field in FIELDS if ONLY_WITH.get(field.name, offset) == offset)

    def forward(self, features: Tensor) -> Tensor:
        towers = (self.distance, self.rotation, self.dimensions, self.offset)
        return torch.cat([part(features) for part in towers if part is not None], dim=1)

    def truth(self, targets: Targets) -> Truth:
        """Return what the map is to say at the centres of the objects whose box in space is known."""
        location, dimensions, projection = map(targets.object_data, ("location", "dimensions", "projection"))
        depth = location[:, 2] + projection[:, 2, 3]
        known = (dimensions > 0).all(dim=1) & (depth > 0)
        location, dimensions, projection, depth = location[known], dimensions[known], projection[known], depth[known]
        index, cells = targets.center_index[known], targets.center_cells[known]
        if self.offset is None:
            alpha = targets.object_data("alpha")[known]
            offsets = targets.centers[known] - cells
        else:
            center, right = targets.object_data("ruler")[known].unbind(1)  # a metre from each other
            along = right - center
            offsets = center / self.stride - cells
            seen = (projection[:, 0, :3] * location).sum(1) + projection[:, 0, 3]
            ray = torch.atan2(seen - projection[:, 0, 2] * depth, projection[:, 0, 0] * depth)
            alpha = targets.object_data("rotation_y")[known] - ray
            alpha = torch.where(along[:, 0] < 0, math.pi - alpha, alpha)  # mirrored
            if self.focal_length is not None:
                depth = self.focal_length / along.norm(dim=1).clamp(min=1e-6)
        alpha = torch.remainder(alpha + math.pi, 2 * math.pi) - math.pi
        near = alpha.abs() < math.pi / 6, alpha.abs() > math.pi * 5 / 6
        bins = torch.stack([(alpha < 0) | near[0] | near[1], (alpha > 0) | near[0] | near[1]], dim=1)
        residuals = alpha[:, None] - alpha.new_tensor(CENTERS)
        return Truth(index, depth, dimensions, bins, residuals, offsets)

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        truth = self.truth(targets)
        values = output.permute(0, 2, 3, 1).reshape(-1, output.shape[1])[truth.cells].float()
        bins, residuals = rotation_losses(values[:, ROTATION], truth.bins, truth.residuals)
        terms = {
            "depth": l1_loss(depth_of(values[:, 0]), truth.depth),
            "dimensions": l1_loss(values[:, DIMENSIONS], truth.dimensions),
            "rotation": bins + residuals,
        }
        if self.offset is not None:
            terms["offset"] = l1_loss(values[:, OFFSET], truth.offsets)
        names = {"offset": "projected_center"}  # a head of boxes has an offset of its own
        return {names.get(name, name): self.weights[name] * term for name, term in terms.items()}

    def with_mirror(self, output: Tensor, mirrored: Tensor) -> Tensor:
        signs = output.new_ones(output.shape[1])
        signs[[3, 7]] = -1.0  # sines: alpha is π - alpha there, as far from the same centre to the other side
        averaged = (output + mirrored * signs[:, None, None]) / 2
        return torch.cat([averaged[:, : OFFSET.start], output[:, OFFSET]], dim=1)

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        values = gather_at(output, peaks.cells).float()
        found = {
            "depth": depth_of(values[..., 0]),
            "dimensions": values[..., DIMENSIONS],
            "alpha": alpha_of(values[..., ROTATION]),
        }
        if self.offset is not None:
            cell = torch.stack([peaks.x, peaks.y], dim=-1)
            found["projected_center"] = (cell + values[..., OFFSET]) * self.stride
        return found


def depth_of(logits: Tensor) -> Tensor:
    """Return the depth in metres that logits stand for."""
    with torch.autocast(logits.device.type, enabled=False):
        return 1 / (logits.float().sigmoid() + 1e-6) - 1


def alpha_of(values: Tensor) -> Tensor:
    """Return alpha in radians, -π … π, of …×8 channels: of each bin the logits against and for it, sine and cosine."""
    first, second = values[..., :4], values[..., 4:]
    best = torch.where((first[..., 1] > second[..., 1]).unsqueeze(-1), first, second)
    center = torch.where(first[..., 1] > second[..., 1], CENTERS[0], CENTERS[1])
    alpha = torch.atan2(best[..., 2], best[..., 3]) + center
    return alpha - 2 * math.pi * ((alpha > math.pi).float() - (alpha < -math.pi).float())


def rotation_losses(values: Tensor, bins: Tensor, residuals: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the loss of the bins and that of what is beyond their centres, each a sum over both bins.

    Args:
        values: N×8 float32, as of `alpha_of`.
        bins: N×2 bool, those that hold alpha.
        residuals: N×2 float32, radians.

    Returns:
        The cross-entropy, mean over objects; smooth L1 of sine and cosine, mean over the objects of each bin.
    """
    each = values.reshape(-1, 2, 4)
    entropy = F.cross_entropy(each[..., :2].reshape(-1, 2), bins.long().flatten(), reduction="sum")
    wanted = torch.stack([residuals.sin(), residuals.cos()], dim=-1)
    errors = F.smooth_l1_loss(each[..., 2:], wanted, reduction="none").sum(-1) * bins  # N×2
    return entropy / max(len(values), 1), (errors.sum(0) / bins.sum(0).clamp(min=1)).sum()
