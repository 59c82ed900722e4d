"""DLA-34, deep layer aggregation. Source: https://arxiv.org/abs/1707.06484."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from centernet.extras import require
from centernet.network.backbones.backbone import Backbone

CHANNELS = (64, 128, 256, 512)


class DLA(Backbone):
    """DLA-34: maps of stride 4, 8, 16 and 32 with 64, 128, 256 and 512 channels.

    Parameters have the names of the original's and timm's files of weights.

    Args:
        start: those of `Backbone.begin`: pretrained (timm's, needs the extra `timm`), weights, frozen_stages,
            frozen_norms and padding. Stages are the stem (to stride 2) and level2 … level5.
    """

    def __init__(self, **start: Any) -> None:
        super().__init__()
        self.base_layer = _block(3, 16, kernel=7)
        self.level0 = _block(16, 16)
        self.level1 = _block(16, 32, stride=2)
        self.level2 = _Tree(32, 64)
        self.level3 = _Tree(64, 128, depth=2, keep_input=True)
        self.level4 = _Tree(128, 256, depth=2, keep_input=True)
        self.level5 = _Tree(256, 512, keep_input=True)
        self.out_channels, self.out_strides = CHANNELS, (4, 8, 16, 32)
        self.begin("dla34", _hub, ("fc.", "level3.project.", "level4.project."), **start)

    def stages(self) -> list[nn.Module]:
        stem = nn.ModuleList([self.base_layer, self.level0, self.level1])
        return [stem, self.level2, self.level3, self.level4, self.level5]

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.level1(self.level0(self.base_layer(images)))
        maps = []
        for level in (self.level2, self.level3, self.level4, self.level5):
            x = level(x)
            maps.append(x)
        return maps


def _hub() -> dict[str, Tensor]:
    timm = require("timm", "pretrained weights of DLA-34")
    state: dict[str, Tensor] = timm.create_model("dla34", pretrained=True).state_dict()
    return state


def _block(in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class _Tree(nn.Module):
    """Two branches one after the other, and at the end of the last a root that joins what came out on the way.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        depth: 1 for residual blocks as branches; more for trees of one less.
        stride: of the first branch.
        keep_input: the root also takes the pooled input.
        kept: channels of what trees before have handed on to the root.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        depth: int = 1,
        stride: int = 2,
        keep_input: bool = False,
        kept: int = 0,
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        self.keep_input = keep_input
        kept += in_channels if keep_input else 0
        self.root: _Root | None = None
        self.project: nn.Module = nn.Identity()
        if depth > 1:
            self.tree1: nn.Module = _Tree(in_channels, out_channels, depth=depth - 1, stride=stride)
            kept += out_channels
            self.tree2: nn.Module = _Tree(out_channels, out_channels, depth=depth - 1, stride=1, kept=kept)
        else:
            self.tree1 = _Residual(in_channels, out_channels, stride)
            self.tree2 = _Residual(out_channels, out_channels, 1)
            self.root = _Root(2 * out_channels + kept, out_channels)
            if in_channels != out_channels:
                self.project = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
                )

    def forward(self, x: Tensor, kept: tuple[Tensor, ...] = ()) -> Tensor:
        bottom = self.pool(x)
        if self.keep_input:
            kept = (*kept, bottom)
        if self.root is None:
            first = self.tree1(x)
            return self.tree2(first, (*kept, first))  # type: ignore[no-any-return]
        first = self.tree1(x, self.project(bottom))
        return self.root(self.tree2(first, first), first, *kept)  # type: ignore[no-any-return]


class _Root(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, *maps: Tensor) -> Tensor:
        return self.bn(self.conv(torch.cat(maps, dim=1))).relu_()  # type: ignore[no-any-return]


class _Residual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu_()
        return (self.bn2(self.conv2(x)) + shortcut).relu_()  # type: ignore[no-any-return]
