"""The original's box: its size, and where in its cell the centre lies.

Source: https://arxiv.org/abs/1904.07850, section 3; four sides instead of a size: FairMOT,
https://arxiv.org/abs/2004.01888.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets, gather_at, l1_loss, smooth_l1_loss


class SizeOffsetHead(Head):
    """Size, offset x and offset y of each cell, in cells; two towers, one map.

    Args:
        size: `width_height`, or `sides`: distances from the centre to the left, top, right and bottom side (FairMOT's).
        offset: without it the centre is the middle of its cell, and there is one tower.
        class_specific: a size for each class.
        clamp: sizes below 0 count as 0, as TensorFlow's decoder has it.
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
        size: Literal["width_height", "sides"] = "width_height",
        offset: bool = True,
        class_specific: bool = False,
        clamp: bool = False,
        loss: Literal["l1", "smooth_l1"] = "l1",
        size_weight: float = 0.1,
        offset_weight: float = 1.0,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.numbers = 2 if size == "width_height" else 4
        self.sizes = num_classes if class_specific else 1
        self.size = tower(in_channels, self.numbers * self.sizes, **layers)
        self.offset = tower(in_channels, 2, **layers) if offset else None
        for part in (self.size, self.offset):
            if part is not None:
                last: Any = part[-1]
                nn.init.zeros_(last.bias)
        self.stride, self.clamp = stride, clamp
        self.regression = l1_loss if loss == "l1" else smooth_l1_loss
        self.size_weight, self.offset_weight = size_weight, offset_weight

    def forward(self, features: Tensor) -> Tensor:
        size: Tensor = self.size(features)
        return size if self.offset is None else torch.cat([size, self.offset(features)], dim=1)

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        values = output.permute(0, 2, 3, 1).reshape(-1, output.shape[1])[targets.center_index]
        sizes, offsets = targets.sizes.flip(-1), targets.centers - targets.center_cells
        if self.numbers == 4:
            sizes = torch.cat([sizes, sizes], dim=-1) / 2
        found = self._of_class(values, targets.object_labels)
        terms = {"size": self.size_weight * self.regression(found, sizes)}
        if self.offset is not None:
            terms["offset"] = self.offset_weight * self.regression(values[:, -2:], offsets)
        return terms

    def with_mirror(self, output: Tensor, mirrored: Tensor) -> Tensor:
        count = self.numbers * self.sizes
        sizes = mirrored[:, :count]
        if self.numbers == 4:  # left is right there
            order = torch.arange(count, device=output.device).reshape(-1, 4)[:, [2, 1, 0, 3]].flatten()
            sizes = sizes[:, order]
        return torch.cat([(output[:, :count] + sizes) / 2, output[:, count:]], dim=1)

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        values = gather_at(output, peaks.cells).float()
        shift = 0.5 if self.offset is None else values[..., -2:]
        center = torch.stack([peaks.x, peaks.y], dim=-1) + shift
        size = self._of_class(values, peaks.labels)
        if self.clamp:
            size = size.clamp(min=0)
        before, after = (size / 2, size / 2) if self.numbers == 2 else (size[..., :2], size[..., 2:])
        return {"bboxes": torch.cat([center - before, center + after], dim=-1) * self.stride}

    def _of_class(self, values: Tensor, labels: Tensor) -> Tensor:
        """Values …×C and labels … → the sizes …×2 or …×4 of those classes."""
        sizes = values[..., : self.numbers * self.sizes]
        if self.sizes == 1:
            return sizes
        sizes = sizes.reshape(*labels.shape, self.sizes, self.numbers)
        index = labels[..., None, None].expand(*labels.shape, 1, self.numbers)
        return sizes.gather(-2, index).squeeze(-2)
