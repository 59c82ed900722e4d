"""The original's neck: the coarsest map, up-sampled three times. Source: https://arxiv.org/abs/1904.07850, fig. 6b."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from centernet.network.layers import ConvBlock, Convolution, Upsampling, upsample
from centernet.network.necks.neck import Neck


class SimpleNeck(Neck):
    """(Convolution → ×2) for each entry of `channels`, on the coarsest map alone.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps.
        channels: width of each step; three steps lead from stride 32 to 4.
        upsampling: `deconvolution`, `deconvolution3` (TensorFlow's), `bilinear` or `nearest`.
        convolution: `normal`, `separable` or `deformable`; `none` leaves it to transposed convolutions to change the
            number of channels, as the original's plain ResNets do.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        channels: Sequence[int] = (256, 128, 64),
        upsampling: Upsampling = "deconvolution",
        convolution: Convolution | Literal["none"] = "normal",
    ) -> None:
        super().__init__()
        if in_strides[-1] >> len(channels) < 1:
            raise ValueError(f"channels={list(channels)}: {len(channels)} steps from stride {in_strides[-1]} pass 1")
        if convolution == "none" and not upsampling.startswith("deconvolution"):
            raise ValueError(f"convolution: none needs upsampling: deconvolution, not {upsampling}")
        layers: list[nn.Module] = []
        width = in_channels[-1]
        for step in channels:
            if convolution != "none":
                layers.append(ConvBlock(width, step, convolution=convolution))
                width = step
            layers.append(upsample(step, upsampling, width))
            width = step
        self.layers = nn.Sequential(*layers)
        self.out_channels = width
        self.out_stride = in_strides[-1] >> len(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.layers(maps[-1])  # type: ignore[no-any-return]
