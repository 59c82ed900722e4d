"""DarkNet-53, YOLOv3's backbone. Source: https://arxiv.org/abs/1804.02767."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from centernet.network.backbones.backbone import Backbone

BLOCKS = (1, 2, 8, 8, 4)


class DarkNet(Backbone):
    """DarkNet-53: maps of stride 4, 8, 16 and 32 with 128, 256, 512 and 1024 channels.

    Parameters have the names of TTFNet's and MMDetection's files.

    Args:
        start: those of `Backbone.begin`: weights, frozen_stages, frozen_norms and padding. Stages are the stem (to
            stride 2) and layer2 … layer5.
    """

    def __init__(self, **start: Any) -> None:
        super().__init__()
        self.stem = _conv(3, 32, 3)
        for i, blocks in enumerate(BLOCKS):
            width = 64 << i
            down = _conv(width // 2, width, 3, stride=2)
            setattr(self, f"layer{i + 1}", nn.Sequential(down, *(_Residual(width) for _ in range(blocks))))
        self.out_channels, self.out_strides = (128, 256, 512, 1024), (4, 8, 16, 32)
        self.begin("darknet53", _no_hub, **start)

    def stages(self) -> list[nn.Module]:
        stem = nn.ModuleList([self.stem, self._layer(1)])
        return [stem, *(self._layer(i) for i in range(2, 6))]

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self._layer(1)(self.stem(images))
        maps = []
        for i in range(2, 6):
            x = self._layer(i)(x)
            maps.append(x)
        return maps

    def _layer(self, number: int) -> nn.Module:
        layer: nn.Module = getattr(self, f"layer{number}")
        return layer


def _no_hub() -> dict[str, Tensor]:
    raise FileNotFoundError("no hub has them with these names")


def _conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        bn=nn.BatchNorm2d(out_channels),
        activation=nn.LeakyReLU(0.1, inplace=True),
    )
    return nn.Sequential(layers)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels // 2, 1), _conv(channels // 2, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]
