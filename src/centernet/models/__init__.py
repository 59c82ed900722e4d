"""Networks: backbones, necks, heads, and the CenterNet that joins them."""

from centernet.models.centernet import CenterNet
from centernet.network.build import build_centernet

__all__ = ["CenterNet", "build_centernet"]
