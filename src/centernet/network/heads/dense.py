"""Maps of other networks that nothing here decodes or trains yet: depths, rotations."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets


class DenseHead(Head):
    """A raw map that detections do without. Its layers are as they were read, and no training changes them.

    Args:
        channels: of the map.
        layers: further options, those of `tower`: width, depth, convolution and norm.
    """

    def __init__(self, in_channels: int, stride: int, num_classes: int, *, channels: int, **layers: Any) -> None:
        super().__init__()
        self.layers = tower(in_channels, channels, **layers).requires_grad_(False)

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        return {}

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        return {}
