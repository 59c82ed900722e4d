"""ResNet-18 to -152 of torchvision, without their classifier. Source: https://arxiv.org/abs/1512.03385."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torchvision import models

from centernet.network.backbones.backbone import Backbone, Padding

ResNetName = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


class ResNet(Backbone):
    """torchvision's ResNet: maps of stride 4, 8, 16 and 32.

    Args:
        name: the variant.
        pretrained: start from torchvision's ImageNet weights (downloaded).
        weights: a local file of weights instead, `.safetensors` or `.pth`, with torchvision's names.
        frozen_stages: how many of stem, layer1 … layer4 stay as they are.
        frozen_norms: all batch norms keep the statistics that the weights came with.
        num_stages: how many of layer1 … layer4 to keep; the top ones are dropped.
        padding: `same` pads strided convolutions as TensorFlow does.
    """

    def __init__(
        self,
        name: ResNetName = "resnet34",
        *,
        pretrained: bool = False,
        weights: str | Path | None = None,
        frozen_stages: int = 0,
        frozen_norms: bool = False,
        num_stages: int = 4,
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__()
        if not 1 <= num_stages <= 4:
            raise ValueError(f"num_stages={num_stages}: ResNet has 1 to 4")
        network = models.get_model(name)
        self.conv1, self.bn1, self.relu, self.maxpool = network.conv1, network.bn1, network.relu, network.maxpool
        self.layers = [f"layer{i + 1}" for i in range(num_stages)]
        for layer in self.layers:
            setattr(self, layer, getattr(network, layer))
        widest = 512 if name in ("resnet18", "resnet34") else 2048
        self.out_channels = tuple(widest >> (3 - i) for i in range(num_stages))
        self.out_strides = tuple(4 << i for i in range(num_stages))
        dropped = tuple(f"layer{i + 1}." for i in range(num_stages, 4))
        self.begin(
            name,
            download=models.get_model_weights(name)["DEFAULT"].get_state_dict if pretrained else None,
            weights=weights,
            ignored=("fc.", *dropped),
            padding=padding,
            frozen_stages=frozen_stages,
            frozen_norms=frozen_norms,
        )

    def stages(self) -> list[nn.Module]:
        return [nn.ModuleList([self.conv1, self.bn1]), *(getattr(self, layer) for layer in self.layers)]

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for layer in self.layers:
            x = getattr(self, layer)(x)
            maps.append(x)
        return maps
