"""The box as the original has it: width and height in cells, and the centre's offset within its cell.

Source: https://arxiv.org/abs/1904.07850, section 3. Both are trained at centre cells alone.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets, gather_at, l1_loss, smooth_l1_loss


class SizeOffsetHead(Head):
    """Width, height, offset x and offset y of each cell, in cells; two towers, one map of four channels.

    Args:
        loss: `l1` or `smooth_l1`.
        size_weight: of the size's loss.
        offset_weight: of the offset's loss.
        layers: further options, those of `tower`, for both towers: width, depth, convolution and norm.
    """

    proportional = True

    def __init__(
        self,
        in_channels: int,
        stride: int,
        num_classes: int,
        *,
        loss: Literal["l1", "smooth_l1"] = "l1",
        size_weight: float = 0.1,
        offset_weight: float = 1.0,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.size = tower(in_channels, 2, **layers)
        self.offset = tower(in_channels, 2, **layers)
        for part in (self.size, self.offset):
            last: Any = part[-1]
            nn.init.zeros_(last.bias)
        self.stride = stride
        self.regression = l1_loss if loss == "l1" else smooth_l1_loss
        self.size_weight, self.offset_weight = size_weight, offset_weight

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.size(features), self.offset(features)], dim=1)

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        values = output.permute(0, 2, 3, 1).reshape(-1, 4)[targets.center_index]
        sizes, offsets = targets.sizes.flip(-1), targets.centers - targets.center_cells
        return {
            "size": self.size_weight * self.regression(values[:, :2], sizes),
            "offset": self.offset_weight * self.regression(values[:, 2:], offsets),
        }

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        values = gather_at(output, peaks.cells).float()
        center = torch.stack([peaks.x, peaks.y], dim=-1) + values[..., 2:]
        half = values[..., :2] / 2
        return {"bboxes": torch.cat([center - half, center + half], dim=-1) * self.stride}
