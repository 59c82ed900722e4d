"""Feature extractors: images in, maps of several strides out."""

from centernet.network.backbones.backbone import Backbone
from centernet.network.backbones.darknet import DarkNet
from centernet.network.backbones.dla import DLA
from centernet.network.backbones.hourglass import Hourglass
from centernet.network.backbones.mobilenet import MobileNetV2, MobileNetV3
from centernet.network.backbones.resnet import ResNet
from centernet.network.backbones.resnet_v2 import ResNetV2
from centernet.network.backbones.shufflenet import ShuffleNetV2
from centernet.network.backbones.timm import Timm

__all__ = [
    "DLA",
    "Backbone",
    "DarkNet",
    "Hourglass",
    "MobileNetV2",
    "MobileNetV3",
    "ResNet",
    "ResNetV2",
    "ShuffleNetV2",
    "Timm",
]
