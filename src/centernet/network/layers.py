"""Convolution blocks and up-sampling that necks and heads are made of."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from centernet.ops import deform_conv2d

Convolution = Literal["normal", "separable", "linear_separable", "deformable"]
Activation = Literal["relu", "leaky_relu"]
Upsampling = Literal["deconvolution", "deconvolution3", "bilinear", "nearest"]


def activate(kind: Activation) -> nn.Module:
    """Make an activation; `leaky_relu` has a slope of .1 below 0."""
    return nn.ReLU(inplace=True) if kind == "relu" else nn.LeakyReLU(0.1, inplace=True)


class ConvBlock(nn.Sequential):
    """Convolution → batch norm → activation; `separable` is depthwise k×k, then pointwise, each with all three;
    `linear_separable` has nothing between the two; `deformable` reads its taps at learned places (DCNv2).

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel: side of the kernel, odd.
        stride: of the k×k convolution; 1 keeps the size of the map, which a deformable one always does.
        convolution: `normal`, `separable`, `linear_separable` or `deformable`.
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
            if convolution == "deformable" and side > 1:
                layers.append(DeformableConv(channels, wanted, side))
            elif convolution == "linear_separable" and side > 1:
                layers.append(LinearSeparable(channels, wanted, side, bias=not norm))
            else:
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


class LinearSeparable(nn.Sequential):
    """Depthwise k×k, then pointwise with the bias, nothing between: Keras's SeparableConv2D."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, *, bias: bool = True) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=bias),
        )


class DeformableConv(nn.Module):
    """DCNv2 without bias, in float32 also under autocast: a convolution of the map itself says where each tap reads,
    and how much it counts. It begins as an ordinary convolution at half strength.

    Source: https://arxiv.org/abs/1811.11168; parameters have the names of the original CenterNet's.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel: side of the kernel, odd; the size of the map is kept.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.conv_offset_mask = nn.Conv2d(in_channels, 3 * kernel * kernel, kernel, padding=kernel // 2)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]
        self.taps = kernel * kernel
        self.as_operator = False  # in graphs; see `deform_conv2d`

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            moves = self.conv_offset_mask(x.to(self.weight.dtype)).float()
            offset, mask = moves[:, : 2 * self.taps], moves[:, 2 * self.taps :].sigmoid()
            weight = self.weight.float()
            return deform_conv2d(x.float(), offset, mask, weight, as_operator=self.as_operator).to(x.dtype)


class OutputConv(nn.Conv2d):
    """A head's last 1×1 convolution, in float32 also under autocast.

    bf16 has three significant digits: neighbouring cells of a heatmap become equal, and equal neighbours are all peaks.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


def upsample(channels: int, kind: Upsampling, in_channels: int | None = None) -> nn.Module:
    """A ×2 up-sampling to `channels` maps, of as many or, for `deconvolution`, of `in_channels`.

    `deconvolution` is a 4×4 transposed convolution that starts as bilinear interpolation of each channel (the rest of
    its kernel at zero), followed by batch norm and ReLU; `deconvolution3` is TensorFlow's 3×3 in its place, with SAME
    padding; the others have no parameters.
    """
    if kind == "deconvolution":
        before = in_channels or channels
        layer = nn.ConvTranspose2d(before, channels, 4, stride=2, padding=1, bias=False)
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[torch.arange(before), torch.arange(before) % channels] = line[:, None] * line
        return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    if kind == "deconvolution3":
        layer = _Deconvolution3(in_channels or channels, channels, 3, stride=2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    if kind == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Upsample(scale_factor=2, mode="nearest")


class _Deconvolution3(nn.ConvTranspose2d):
    """The part that a 3×3 kernel scatters, without the last row and column."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x)[:, :, :-1, :-1]


class WeightedSum(nn.Module):
    """Sum of maps, each times a learned non-negative share: EfficientDet's fast fusion.

    Source: https://arxiv.org/abs/1911.09070, section 3.3.
    """

    def __init__(self, count: int = 2) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(count))

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        weights = self.weights.relu()
        weights = weights / (weights.sum() + 1e-4)
        result = weights[0] * first
        for i, other in enumerate(others, start=1):
            result = result + weights[i] * other
        return result
