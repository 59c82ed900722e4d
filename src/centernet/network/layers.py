"""Convolution blocks and up-sampling that necks and heads are made of."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Convolution = Literal["normal", "separable"]
Activation = Literal["relu", "leaky_relu"]
Upsampling = Literal["deconvolution", "bilinear", "nearest"]


def activate(kind: Activation) -> nn.Module:
    """Make an activation; `leaky_relu` has a slope of .1 below 0."""
    return nn.ReLU(inplace=True) if kind == "relu" else nn.LeakyReLU(0.1, inplace=True)


class ConvBlock(nn.Sequential):
    """Convolution → batch norm → activation; `separable` is depthwise k×k, then pointwise, each with all three.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel: side of the kernel, odd.
        stride: of the k×k convolution; 1 keeps the size of the map.
        convolution: `normal` or `separable`.
        groups: of a normal convolution.
        activation: after each norm; None for none after the last.
        norm: without it convolutions have a bias, as after batch norms were multiplied into them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        convolution: Convolution = "normal",
        groups: int = 1,
        activation: Activation | None = "relu",
        norm: bool = True,
    ) -> None:
        layers: list[nn.Module] = []

        def add(channels: int, wanted: int, side: int, step: int, kind: Activation | None, groups: int = 1) -> None:
            layers.append(nn.Conv2d(channels, wanted, side, step, side // 2, groups=groups, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(wanted))
            if kind is not None:
                layers.append(activate(kind))

        if convolution == "separable" and kernel > 1:
            add(in_channels, in_channels, kernel, stride, activation or "relu", groups=in_channels)
            kernel, stride = 1, 1
        add(in_channels, out_channels, kernel, stride, activation, groups)
        super().__init__(*layers)


class OutputConv(nn.Conv2d):
    """A head's last 1×1 convolution, in float32 also under autocast.

    bf16 has three significant digits: neighbouring cells of a heatmap become equal, and equal neighbours are all peaks.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


def upsample(channels: int, kind: Upsampling) -> nn.Module:
    """A ×2 up-sampling of `channels` maps.

    `deconvolution` is a 4×4 transposed convolution that starts as bilinear interpolation of each channel (the rest of
    its kernel at zero), followed by batch norm and ReLU; the others have no parameters.
    """
    if kind == "deconvolution":
        layer = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[torch.arange(channels), torch.arange(channels)] = line[:, None] * line
        return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    if kind == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Upsample(scale_factor=2, mode="nearest")


class WeightedSum(nn.Module):
    """Sum of two maps, each times a learned non-negative share: EfficientDet's fast fusion.

    Source: https://arxiv.org/abs/1911.09070, section 3.3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(2))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        weights = self.weights.relu()
        weights = weights / (weights.sum() + 1e-4)
        return weights[0] * first + weights[1] * second
