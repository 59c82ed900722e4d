"""A pyramid for mobile backbones: wide where cells are few, narrow where they are many, depthwise throughout.

Design measured by `benchmarks/`; parts from https://arxiv.org/abs/1612.03144 (pyramid) and
https://arxiv.org/abs/1801.04381 (depthwise-separable convolutions).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from centernet.network.layers import ConvBlock
from centernet.network.necks.neck import Neck


class LiteFPN(Neck):
    """Top-down: at each level the 1×1 projection of the backbone's map, plus the coarser level; residual separable
    convolutions; then a separable convolution to the next level's width and nearest ×2.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps; each twice the one before.
        widths: channels of each level, finest first.
        depths: residual convolutions of each level, finest first.
        kernel: side of the residual convolutions; larger sees farther.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        widths: Sequence[int] = (64, 96, 128, 160),
        depths: Sequence[int] = (0, 0, 1, 1),
        kernel: int = 5,
    ) -> None:
        super().__init__()
        if not len(in_channels) == len(widths) == len(depths):
            raise ValueError(
                f"widths and depths need one entry for each of the backbone's {len(in_channels)} maps "
                f"(strides {list(in_strides)}), got {list(widths)} and {list(depths)}"
            )
        if any(b != 2 * a for a, b in itertools.pairwise(in_strides)):
            raise ValueError(f"LiteFPN needs strides that double, the backbone has {list(in_strides)}")
        last = len(widths) - 1
        self.lateral = nn.ModuleList(
            ConvBlock(c, width, 1, activation="relu" if i == last else None)
            for i, (c, width) in enumerate(zip(in_channels, widths, strict=True))
        )
        self.residual = nn.ModuleList(
            nn.ModuleList(ConvBlock(width, width, kernel, convolution="separable") for _ in range(depth))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.down = nn.ModuleList(ConvBlock(widths[i + 1], widths[i], convolution="separable") for i in range(last))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.out_channels = widths[0]
        self.out_stride = in_strides[0]

    def forward(self, maps: list[Tensor]) -> Tensor:
        x: Tensor = self.lateral[-1](maps[-1])
        for i in reversed(range(len(maps))):
            for block in self.residual[i].children():
                x = x + block(x)
            if i:
                x = self.up(self.down[i - 1](x)) + self.lateral[i - 1](maps[i - 1])
        return x
