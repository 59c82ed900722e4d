"""Networks: backbones, necks, heads, and the CenterNet that joins them."""

from centernet.models.build import build_centernet
from centernet.models.centernet import CenterNet

__all__ = ["CenterNet", "build_centernet"]
