"""The contract of a neck."""

from __future__ import annotations

from torch import Tensor, nn


class Neck(nn.Module):
    """A neck is built with the backbone's channels and strides, and gives one map, or one a level.

    `__init__(in_channels, in_strides, *, …)`, both finest first, sets:

    Attributes:
        out_channels: channels of each map.
        out_stride: input pixels a cell of the map, of the finest one where there are several.
        out_strides: of each map, finest first, of a neck of several levels; the model then has each head once a level.
        point: where in a cell its point lies, from which heads measure: .5 in the middle, 0 at the top left.
    """

    out_channels: int
    out_stride: int
    out_strides: tuple[int, ...] = ()
    point: float = 0.5

    def forward(self, maps: list[Tensor]) -> Tensor | list[Tensor]:
        """Maps N×C×H×W, finest first → N×out_channels×(input height / stride)×(input width / stride), each rounded up:
        one, or a list of those of all levels."""
        raise NotImplementedError
