"""The neck of CenterNet's and FairMOT's DLA-34. Sources: https://arxiv.org/abs/1707.06484, fig. 3,
https://arxiv.org/abs/1904.07850, appendix."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from centernet.network.layers import ConvBlock, Convolution
from centernet.network.necks.neck import Neck

Fusion = Literal["sum", "concatenation"]


class DLAUp(Neck):
    """Iterative deep aggregation: each coarser map is brought to the finest one's stride step by step, and merged with
    its finer neighbours on the way.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps; each twice the one before.
        convolution: `deformable`, `normal` or `separable`.
        fusion: `sum`; `concatenation` is the first version (`dlav0`), with 1×1 projections and without the last round,
            which merges the aggregated maps of all strides but the coarsest once more.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        convolution: Convolution = "deformable",
        fusion: Fusion = "sum",
    ) -> None:
        super().__init__()
        if any(b != 2 * a for a, b in itertools.pairwise(in_strides)) or len(in_strides) < 2:
            raise ValueError(f"DLAUp needs two or more strides that double, the backbone has {list(in_strides)}")
        self.rounds = nn.ModuleList()
        for i in reversed(range(len(in_channels) - 1)):
            # What the round before has merged has its width and stride.
            later = [in_channels[i + 1]] * (len(in_channels) - i - 1)
            self.rounds.append(_Aggregation(in_channels[i], later, [2] * len(later), convolution, fusion))
        widths = list(in_channels[1:-1])
        factors = [2 ** (i + 1) for i in range(len(widths))]
        last = fusion == "sum"
        self.last = _Aggregation(in_channels[0], widths, factors, convolution, fusion) if last else None
        self.out_channels, self.out_stride = in_channels[0], in_strides[0]

    def forward(self, maps: list[Tensor]) -> Tensor:
        merged: list[Tensor] = [maps[-1]]
        outputs = [maps[-1]]
        for finer, aggregate in zip(maps[-2::-1], self.rounds, strict=True):
            merged = aggregate(finer, merged)
            outputs.append(merged[-1])
        if self.last is None:
            return outputs[-1]
        finest, *coarser = outputs[:0:-1]
        return self.last(finest, coarser)[-1] if coarser else finest


class _Aggregation(nn.Module):
    """A round: maps of one or more coarser strides, each up-sampled and merged with the one before."""

    def __init__(
        self, width: int, channels: Sequence[int], factors: Sequence[int], convolution: Convolution, fusion: Fusion
    ) -> None:
        super().__init__()
        both = fusion == "concatenation"
        self.project = nn.ModuleList(ConvBlock(c, width, 1 if both else 3, convolution=convolution) for c in channels)
        self.up = nn.ModuleList(_up(width, factor) for factor in factors)
        self.node = nn.ModuleList(
            ConvBlock(2 * width if both else width, width, convolution=convolution) for _ in channels
        )
        self.both = both

    def forward(self, finest: Tensor, coarser: list[Tensor]) -> list[Tensor]:
        """The finest map and the coarser ones → as many, of the finest's stride and width, each with those before."""
        merged = [finest]
        for x, project, up, node in zip(coarser, self.project, self.up, self.node, strict=True):
            x = up(project(x))
            merged.append(node(torch.cat([merged[-1], x], dim=1) if self.both else x + merged[-1]))
        return merged


def _up(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution of each channel by itself that begins as bilinear interpolation."""
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, groups=channels, bias=False
    )
    line = 1 - ((torch.arange(2 * factor) + 0.5) / factor - 1).abs()
    with torch.no_grad():
        layer.weight.copy_((line[:, None] * line).expand_as(layer.weight))
    return layer
