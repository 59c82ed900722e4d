"""A pyramid that grows narrower towards finer maps, as TensorFlow's Object Detection API gives its CenterNets.

Source: https://arxiv.org/abs/1612.03144; widths as in https://github.com/tensorflow/models, research/object_detection.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from centernet.network.layers import ConvBlock, Convolution, upsample
from centernet.network.necks.neck import Neck


class TaperedFPN(Neck):
    """The coarsest map's projection; then for each finer one: ×2, plus its projection, and a convolution to the next
    width.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps; each twice the one before.
        channels: width of the coarsest map's projection, and then of what each step gives.
        convolution: `normal`, `separable`, `linear_separable` or `deformable`.
        upsampling: `nearest`, TensorFlow's, or `bilinear`, MoveNet's.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        channels: Sequence[int] = (256, 128, 64, 64),
        convolution: Convolution = "normal",
        upsampling: Literal["nearest", "bilinear"] = "nearest",
    ) -> None:
        super().__init__()
        if any(b != 2 * a for a, b in itertools.pairwise(in_strides)):
            raise ValueError(f"TaperedFPN needs strides that double, the backbone has {list(in_strides)}")
        if len(channels) != len(in_channels):
            raise ValueError(
                f"channels needs one entry for each of the backbone's {len(in_channels)} maps, got {list(channels)}"
            )
        self.top = nn.Conv2d(in_channels[-1], channels[0], 1)
        self.lateral = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(in_channels[-2::-1], channels, strict=False))
        self.merge = nn.ModuleList(ConvBlock(a, b, convolution=convolution) for a, b in itertools.pairwise(channels))
        self.up = upsample(channels[0], upsampling)
        self.out_channels, self.out_stride = channels[-1], in_strides[0]

    def forward(self, maps: list[Tensor]) -> Tensor:
        x: Tensor = self.top(maps[-1])
        for lateral, merge, finer in zip(self.lateral, self.merge, maps[-2::-1], strict=True):
            x = merge(self.up(x) + lateral(finer))
        return x
