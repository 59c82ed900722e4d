"""The contract of a neck."""

from __future__ import annotations

from torch import Tensor, nn


class Neck(nn.Module):
    """A neck is built with the backbone's channels and strides, and gives one map.

    `__init__(in_channels, in_strides, *, …)`, both finest first, sets:

    Attributes:
        out_channels: channels of the map.
        out_stride: input pixels a cell of the map.
    """

    out_channels: int
    out_stride: int

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps N×C×H×W, finest first → N×out_channels×(input height / out_stride)×(input width / out_stride)."""
        raise NotImplementedError
