"""A light pyramid of several levels: down, up again, and one or more coarser levels on top.

Sources: path aggregation, https://arxiv.org/abs/1803.01534; ghost modules, https://arxiv.org/abs/1911.11907; put
together as in NanoDet-Plus, https://github.com/RangiLyu/nanodet (Apache-2.0), whose weights fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.network.layers import Activation, ConvBlock
from centernet.network.necks.neck import Neck


class GhostPAN(Neck):
    """Each map of the backbone becomes a level; `extra_levels` follow at twice the stride each.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps; each twice the one before.
        width: channels of all levels.
        kernel: side of the depthwise convolutions.
        extra_levels: levels above the backbone's coarsest.
        tower_depth: separable convolutions of each level's own before the heads, which share them.
        norm: batch norms; without them convolutions have a bias.
        point: where in a cell its point lies; 0 for weights of NanoDet-Plus.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        width: int = 96,
        kernel: int = 5,
        extra_levels: int = 1,
        tower_depth: int = 2,
        norm: bool = True,
        point: float = 0.5,
    ) -> None:
        super().__init__()
        if any(b != 2 * a for a, b in itertools.pairwise(in_strides)):
            raise ValueError(f"GhostPAN needs strides that double, the backbone has {list(in_strides)}")
        if width % 2 or not 0 <= point <= 1:
            raise ValueError(f"width={width}, point={point}: expected an even number of channels, and 0 … 1 of a cell")
        strides = [*in_strides, *(in_strides[-1] << i for i in range(1, extra_levels + 1))]
        self.out_channels, self.out_strides, self.out_stride = width, tuple(strides), strides[0]
        self.point = point
        self._own = [str(stride) for stride in in_strides]  # the backbone's levels, finest first
        self._extra = [str(stride) for stride in strides[len(in_strides) :]]

        def light(stride: int = 1) -> ConvBlock:
            return ConvBlock(
                width, width, kernel, stride=stride, convolution="separable", activation="leaky_relu", norm=norm
            )

        def fused() -> GhostBlock:
            return GhostBlock(2 * width, width, kernel, norm=norm)

        self.reduce = nn.ModuleDict(
            {
                name: ConvBlock(channels, width, 1, activation="leaky_relu", norm=norm)
                for name, channels in zip(self._own, in_channels, strict=True)
            }
        )
        self.top_down = nn.ModuleDict({name: fused() for name in self._own[:-1]})
        self.down = nn.ModuleDict({name: light(2) for name in self._own[:-1]})
        self.bottom_up = nn.ModuleDict({name: fused() for name in self._own[1:]})
        self.extra_in = nn.ModuleDict({name: light(2) for name in self._extra})
        self.extra_out = nn.ModuleDict({name: light(2) for name in self._extra})
        self.towers = nn.ModuleDict(
            {str(stride): nn.Sequential(*(light() for _ in range(tower_depth))) for stride in strides}
        )

    def begin_finest(self) -> None:
        """Let the finest level begin as a mere branch: all others are what they would be without it, as long as the way
        down from it has not learned (with batch norms in training only about so)."""
        self.bottom_up[self._own[1]].hand_on()  # type: ignore[operator]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        reduced = [self.reduce[name](x) for name, x in zip(self._own, maps, strict=True)]
        x = reduced[-1]
        down = [x]
        for name, lateral in zip(reversed(self._own[:-1]), reversed(reduced[:-1]), strict=True):
            up = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.top_down[name](torch.cat([up, lateral], dim=1))
            down.insert(0, x)
        levels = [x]
        for finer, name, lateral in zip(self._own, self._own[1:], down[1:], strict=False):
            x = self.bottom_up[name](torch.cat([self.down[finer](x), lateral], dim=1))
            levels.append(x)
        lateral = reduced[-1]
        for name in self._extra:
            lateral = x = self.extra_in[name](lateral) + self.extra_out[name](x)
            levels.append(x)
        return [self.towers[str(stride)](x) for stride, x in zip(self.out_strides, levels, strict=True)]


class GhostBlock(nn.Module):
    """Two ghost modules, the first with activation, beside a separable convolution without."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, norm: bool) -> None:
        super().__init__()
        self.first = GhostModule(in_channels, out_channels, "leaky_relu", norm=norm)
        self.second = GhostModule(out_channels, out_channels, None, norm=norm)
        self.shortcut = nn.Sequential(
            ConvBlock(in_channels, in_channels, kernel, groups=in_channels, activation=None, norm=norm),
            ConvBlock(in_channels, out_channels, 1, activation=None, norm=norm),
        )

    @torch.no_grad()
    def hand_on(self) -> None:
        """Begin by handing on the second half of the channels as they are."""
        depthwise, pointwise = self.shortcut[0][0], self.shortcut[1][0]  # type: ignore[index]
        nn.init.dirac_(depthwise.weight, groups=len(depthwise.weight))
        half = pointwise.in_channels - pointwise.out_channels
        pointwise.weight.zero_()
        pointwise.weight[:, half:, 0, 0] = torch.eye(pointwise.out_channels)
        for layer in (self.second.primary[0], self.second.cheap[0]):
            layer.weight.zero_()  # type: ignore[operator]
        for layer in (depthwise, pointwise, self.second.primary[0], self.second.cheap[0]):
            if layer.bias is not None:
                layer.bias.zero_()  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return result


class GhostModule(nn.Module):
    """Half of the channels by a 1×1 convolution, the other half by a depthwise 3×3 of these."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation | None, *, norm: bool) -> None:
        super().__init__()
        half = out_channels // 2
        self.primary = ConvBlock(in_channels, half, 1, activation=activation, norm=norm)
        self.cheap = ConvBlock(half, half, groups=half, activation=activation, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.primary(x)
        return torch.cat([x, self.cheap(x)], dim=1)
