"""Feature extractors: images in, maps of several strides out."""

from centernet.models.backbones.backbone import Backbone
from centernet.models.backbones.mobilenet import MobileNetV2, MobileNetV3
from centernet.models.backbones.resnet import ResNet
from centernet.models.backbones.timm import Timm

__all__ = ["Backbone", "MobileNetV2", "MobileNetV3", "ResNet", "Timm"]
