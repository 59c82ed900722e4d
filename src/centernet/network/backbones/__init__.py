"""Feature extractors: images in, maps of several strides out."""

from centernet.network.backbones.backbone import Backbone
from centernet.network.backbones.mobilenet import MobileNetV2, MobileNetV3
from centernet.network.backbones.resnet import ResNet
from centernet.network.backbones.shufflenet import ShuffleNetV2
from centernet.network.backbones.timm import Timm

__all__ = ["Backbone", "MobileNetV2", "MobileNetV3", "ResNet", "ShuffleNetV2", "Timm"]
