"""ResNet-50 with norms before convolutions, as Keras has it. Source: https://arxiv.org/abs/1603.05027."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from centernet.network.backbones.backbone import Backbone

BLOCKS = (3, 4, 6, 3)


class ResNetV2(Backbone):
    """Keras's ResNet50V2: maps of stride 8, 16 and 32 with 256, 512 and 2048 channels.

    A stage halves its map in its last block, so the fourth stage ends at the stride of the third. The last norm, which
    detectors do without, is left out.

    Args:
        start: those of `Backbone.begin`: weights, frozen_stages and frozen_norms. Stages are the stem and layer1 …
            layer4.
    """

    def __init__(self, **start: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        channels = 64
        for i, count in enumerate(BLOCKS):
            width, last = 64 << i, i == len(BLOCKS) - 1
            blocks: list[nn.Module] = []
            for j in range(count):
                stride = 2 if j == count - 1 and not last else 1
                blocks.append(_Block(channels, width, stride, projects=j == 0))
                channels = 4 * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.out_channels, self.out_strides = (256, 512, 2048), (8, 16, 32)
        self.begin("resnet50v2", _no_hub, **start)

    def stages(self) -> list[nn.Module]:
        return [self.conv1, *(getattr(self, f"layer{i}") for i in range(1, 5))]

    def forward(self, images: Tensor) -> list[Tensor]:
        # Keras pads with zeros here, though values may be below.
        x = F.max_pool2d(F.pad(self.conv1(images), (1, 1, 1, 1)), 3, 2)
        maps = []
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
            maps.append(x)
        return [maps[0], maps[1], maps[3]]


def _no_hub() -> dict[str, Tensor]:
    raise FileNotFoundError("no hub has them with these names")


class _Block(nn.Module):
    def __init__(self, in_channels: int, width: int, stride: int, *, projects: bool) -> None:
        super().__init__()
        self.preact = nn.BatchNorm2d(in_channels)
        self.shortcut = nn.Conv2d(in_channels, 4 * width, 1, stride) if projects else None
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        active = self.preact(x).relu()
        if self.shortcut is not None:
            x = self.shortcut(active)
        elif self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        y = self.bn1(self.conv1(active)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        return x + self.conv3(y)  # type: ignore[no-any-return]
