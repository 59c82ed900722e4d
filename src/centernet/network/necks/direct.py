"""No neck: the backbone's finest map, for backbones that end at the stride of detection."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from centernet.network.necks.neck import Neck


class Direct(Neck):
    """The backbone's finest map as it is.

    Args:
        in_channels: channels of the backbone's maps, finest first.
        in_strides: strides of the backbone's maps.
    """

    def __init__(self, in_channels: Sequence[int], in_strides: Sequence[int]) -> None:
        super().__init__()
        self.out_channels, self.out_stride = in_channels[0], in_strides[0]

    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[0]
