"""Stacked hourglasses. Sources: https://arxiv.org/abs/1603.06937; Hourglass-104: https://arxiv.org/abs/1808.01244."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from centernet.network.backbones.backbone import Backbone


class Hourglass(Backbone):
    """Hourglass-104: one map of stride 4, that of the last stack. Sides of inputs are padded to multiples of 128.

    Parameters have the names of the original CenterNet's files.

    Args:
        stacks: number of hourglasses.
        channels: of each level, stride 4 first; each further one has twice the stride.
        blocks: residual blocks of each level.
        start: those of `Backbone.begin`: weights, frozen_stages, frozen_norms. Stages are the stem and the stacks.
    """

    def __init__(
        self,
        *,
        stacks: int = 2,
        channels: Sequence[int] = (256, 256, 384, 384, 384, 512),
        blocks: Sequence[int] = (2, 2, 2, 2, 2, 4),
        weights: str | Path | None = None,
        **start: Any,
    ) -> None:
        super().__init__()
        if stacks < 1 or len(channels) != len(blocks) or len(channels) < 2:
            raise ValueError(
                f"Hourglass needs a stack and as many channels as blocks, at least two levels; got {stacks} stacks, "
                f"{list(channels)} and {list(blocks)}"
            )
        width = channels[0]
        self.pre = nn.Sequential(_Conv(3, width // 2, 7, stride=2), _Residual(width // 2, width, 2))
        self.kps = nn.ModuleList(_Hourglass(channels, blocks) for _ in range(stacks))
        self.cnvs = nn.ModuleList(_Conv(width, width, 3) for _ in range(stacks))
        self.inters = nn.ModuleList(_Residual(width, width) for _ in range(stacks - 1))
        self.inters_ = nn.ModuleList(_projection(width, width) for _ in range(stacks - 1))
        self.cnvs_ = nn.ModuleList(_projection(width, width) for _ in range(stacks - 1))
        self.out_channels, self.out_strides = (width,), (4,)
        self.num_stacks = stacks
        self._divisor = 4 << (len(channels) - 1)
        self.begin("Hourglass-104", _no_hub, weights=weights, **start)

    def stages(self) -> list[nn.Module]:
        between = [nn.ModuleList(parts) for parts in zip(self.inters, self.inters_, self.cnvs_, strict=True)]
        stacks = [nn.ModuleList(parts) for parts in zip(self.kps, self.cnvs, strict=True)]
        for stack, before in zip(stacks[1:], between, strict=True):
            stack.append(before)
        return [self.pre, *stacks]

    @property
    def divisor(self) -> int:
        return self._divisor

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.stacks(images)[-1]

    def stacks(self, images: Tensor) -> list[list[Tensor]]:
        x = self.pre(images)
        maps: list[Tensor] = []
        for i, (hourglass, conv) in enumerate(zip(self.kps, self.cnvs, strict=True)):
            if i:
                x = self.inters[i - 1]((self.inters_[i - 1](x) + self.cnvs_[i - 1](maps[-1])).relu())
            maps.append(conv(hourglass(x)))
        return [[x] for x in maps]


def _no_hub() -> dict[str, Tensor]:
    raise FileNotFoundError("nobody publishes ImageNet weights of it")


class _Hourglass(nn.Module):
    """A level: what stays at its stride, plus what comes back from half of it."""

    def __init__(self, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        (width, inner, *_), (depth, inner_depth, *_) = channels, blocks
        self.up1 = nn.Sequential(*(_Residual(width, width) for _ in range(depth)))
        self.low1 = nn.Sequential(_Residual(width, inner, 2), *(_Residual(inner, inner) for _ in range(depth - 1)))
        if len(channels) > 2:
            self.low2: nn.Module = _Hourglass(channels[1:], blocks[1:])
        else:
            self.low2 = nn.Sequential(*(_Residual(inner, inner) for _ in range(inner_depth)))
        self.low3 = nn.Sequential(*(_Residual(inner, inner) for _ in range(depth - 1)), _Residual(inner, width))
        self.up2 = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        return self.up1(x) + self.up2(self.low3(self.low2(self.low1(x))))  # type: ignore[no-any-return]


class _Conv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu_()  # type: ignore[no-any-return]


class _Residual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        changes = stride != 1 or in_channels != out_channels
        self.skip = _projection(in_channels, out_channels, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_()))
        return (y + self.skip(x)).relu_()  # type: ignore[no-any-return]


def _projection(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
