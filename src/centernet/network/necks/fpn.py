"""Feature pyramid, read at its finest level. Source: https://arxiv.org/abs/1612.03144."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from centernet.network.layers import ConvBlock, Convolution, Upsampling, WeightedSum, upsample
from centernet.network.necks.neck import Neck


class FPN(Neck):
    """Top-down: each step up-samples, adds the finer map's 1×1 projection, and convolves.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps; each twice the one before.
        width: channels of the pyramid.
        upsampling: `deconvolution`, `bilinear` or `nearest`.
        convolution: `normal`, `separable` or `deformable`.
        fusion: `sum`, or `weighted` by learned shares.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        width: int = 128,
        upsampling: Upsampling = "nearest",
        convolution: Convolution = "normal",
        fusion: Literal["sum", "weighted"] = "sum",
    ) -> None:
        super().__init__()
        if any(b != 2 * a for a, b in itertools.pairwise(in_strides)):
            raise ValueError(f"FPN needs strides that double, the backbone has {list(in_strides)}")
        self.lateral = nn.ModuleList(ConvBlock(c, width, 1, activation=None) for c in in_channels)
        self.up = nn.ModuleList(upsample(width, upsampling) for _ in in_channels[1:])
        self.fuse = nn.ModuleList(WeightedSum() for _ in in_channels[1:]) if fusion == "weighted" else None
        self.smooth = nn.ModuleList(ConvBlock(width, width, convolution=convolution) for _ in in_channels[1:])
        self.out_channels = width
        self.out_stride = in_strides[0]

    def forward(self, maps: list[Tensor]) -> Tensor:
        x: Tensor = self.lateral[-1](maps[-1])
        for i in reversed(range(len(maps) - 1)):
            up, lateral = self.up[i](x), self.lateral[i](maps[i])
            x = self.smooth[i](up + lateral if self.fuse is None else self.fuse[i](up, lateral))
        return x
