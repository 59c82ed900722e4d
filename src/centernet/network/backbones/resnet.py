"""ResNet-18 to -152 of torchvision, without their classifier. Source: https://arxiv.org/abs/1512.03385."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torchvision import models

from centernet.network.backbones.backbone import Backbone, of_torchvision

ResNetName = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


class ResNet(Backbone):
    """torchvision's ResNet: maps of stride 4, 8, 16 and 32.

    Args:
        name: the variant.
        num_stages: how many of layer1 … layer4 to keep; the top ones are dropped.
        stride_in_1x1: the first convolution of a stage halves the map instead of the 3×3, as in Caffe and Keras.
        start: further options, those of `Backbone.begin`: pretrained, weights, frozen_stages, frozen_norms and padding.
            Stages are the stem and layer1 … layer4.
    """

    def __init__(
        self, name: ResNetName = "resnet34", *, num_stages: int = 4, stride_in_1x1: bool = False, **start: Any
    ) -> None:
        super().__init__()
        if not 1 <= num_stages <= 4:
            raise ValueError(f"num_stages={num_stages}: ResNet has 1 to 4")
        network = models.get_model(name)
        self.conv1, self.bn1, self.relu, self.maxpool = network.conv1, network.bn1, network.relu, network.maxpool
        self.layers = [f"layer{i + 1}" for i in range(num_stages)]
        for layer in self.layers:
            setattr(self, layer, getattr(network, layer))
            first = getattr(network, layer)[0]
            if stride_in_1x1 and hasattr(first, "conv3"):
                first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
        widest = 512 if name in ("resnet18", "resnet34") else 2048
        self.out_channels = tuple(widest >> (3 - i) for i in range(num_stages))
        self.out_strides = tuple(4 << i for i in range(num_stages))
        dropped = tuple(f"layer{i + 1}." for i in range(num_stages, 4))
        hub = models.get_model_weights(name)["DEFAULT"]
        self.begin(name, hub.get_state_dict, ("fc.", *dropped), origin=of_torchvision(hub), **start)

    def stages(self) -> list[nn.Module]:
        return [nn.ModuleList([self.conv1, self.bn1]), *(getattr(self, layer) for layer in self.layers)]

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for layer in self.layers:
            x = getattr(self, layer)(x)
            maps.append(x)
        return maps
