"""A pyramid with ways down and up, several times. Source: https://arxiv.org/abs/1911.09070 (EfficientDet)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from centernet.network.layers import ConvBlock, Convolution, WeightedSum
from centernet.network.necks.neck import Neck


class BiFPN(Neck):
    """Projections of the backbone's maps to one width, then rounds of: down (nearest ×2 to each finer map) and up (3×3
    maximum of stride 2 to each coarser one), where maps are added by learned shares and convolved. The finest map is
    what heads see, so the last round goes down alone.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps; each twice the one before.
        width: channels of all maps.
        rounds: number of rounds.
        convolution: `separable`, `normal`, `linear_separable` or `deformable`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        width: int = 64,
        rounds: int = 3,
        convolution: Convolution = "separable",
    ) -> None:
        super().__init__()
        if any(b != 2 * a for a, b in itertools.pairwise(in_strides)) or len(in_strides) < 2:
            raise ValueError(f"BiFPN needs two or more strides that double, the backbone has {list(in_strides)}")
        if rounds < 1:
            raise ValueError(f"rounds: expected at least 1, got {rounds}")
        self.lateral = nn.ModuleList(ConvBlock(c, width, 1, activation=None) for c in in_channels)
        steps = len(in_channels) - 1
        self.down = nn.ModuleList(_Way(width, [2] * steps, convolution) for _ in range(rounds))
        inputs = [3] * (steps - 1) + [2]  # the coarsest map has not changed on the way down
        self.up = nn.ModuleList(_Way(width, inputs, convolution) for _ in range(rounds - 1))
        self.out_channels, self.out_stride = width, in_strides[0]

    def forward(self, maps: list[Tensor]) -> Tensor:
        maps = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for i, down in enumerate(self.down):
            before = maps
            maps = [maps[-1]]
            for step, x in enumerate(before[-2::-1]):
                maps.insert(0, down(step, x, F.interpolate(maps[0], scale_factor=2.0, mode="nearest")))
            if i < len(self.up):
                maps = self._up(i, before, maps)
        return maps[0]

    def _up(self, i: int, before: list[Tensor], down: list[Tensor]) -> list[Tensor]:
        """Go from the finest map to the coarsest, with those from before and after the way down."""
        maps = [down[0]]
        for step in range(len(down) - 1):
            finer = F.max_pool2d(maps[-1], 3, stride=2, padding=1)
            own = [before[step + 1]] if step == len(down) - 2 else [before[step + 1], down[step + 1]]
            maps.append(self.up[i](step, *own, finer))
        return maps


class _Way(nn.Module):
    """The additions and convolutions of a way through the maps, a step each; `inputs` has the numbers of maps added."""

    def __init__(self, width: int, inputs: Sequence[int], convolution: Convolution) -> None:
        super().__init__()
        self.fuse = nn.ModuleList(WeightedSum(count) for count in inputs)
        self.smooth = nn.ModuleList(ConvBlock(width, width, convolution=convolution) for _ in inputs)

    def forward(self, step: int, *maps: Tensor) -> Tensor:
        result: Tensor = self.smooth[step](self.fuse[step](*maps))
        return result
