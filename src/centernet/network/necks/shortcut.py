"""TTFNet's neck: the coarsest map, up-sampled, with the finer ones added through convolutions.

Source: https://arxiv.org/abs/1909.00700, fig. 2.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from centernet.network.layers import ConvBlock, Convolution
from centernet.network.necks.neck import Neck


class ShortcutNeck(Neck):
    """(Convolution → bilinear ×2 → plus a shortcut from the backbone's map there) for each entry of `channels`.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps; each twice the one before.
        channels: width of each step; three steps lead from stride 32 to 4.
        shortcuts: number of 3×3 convolutions of each step's shortcut.
        convolution: `deformable`, `normal` or `separable`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        *,
        channels: Sequence[int] = (256, 128, 64),
        shortcuts: Sequence[int] = (1, 2, 3),
        convolution: Convolution = "deformable",
    ) -> None:
        super().__init__()
        if any(b != 2 * a for a, b in itertools.pairwise(in_strides)):
            raise ValueError(f"ShortcutNeck needs strides that double, the backbone has {list(in_strides)}")
        if not len(channels) == len(shortcuts) < len(in_channels) or min(shortcuts) < 1:
            raise ValueError(
                f"channels and shortcuts need one entry a step, at most {len(in_channels) - 1} for the backbone's "
                f"{len(in_channels)} maps, got {list(channels)} and {list(shortcuts)}"
            )
        before = [in_channels[-1], *channels[:-1]]
        self.steps = nn.ModuleList(
            ConvBlock(a, b, convolution=convolution) for a, b in zip(before, channels, strict=True)
        )
        finer = in_channels[-2::-1][: len(channels)]
        self.shortcuts = nn.ModuleList(map(_shortcut, finer, channels, shortcuts))
        # TTFNet's ×2 puts the corners of both maps on each other.
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.out_channels, self.out_stride = channels[-1], in_strides[-1] >> len(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = maps[-1]
        for step, shortcut, finer in zip(self.steps, self.shortcuts, maps[-2::-1], strict=False):
            x = self.up(step(x)) + shortcut(finer)
        return x


def _shortcut(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [nn.Conv2d(out_channels if i else in_channels, out_channels, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
