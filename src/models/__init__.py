"""The model classes under the path that a clone's own scripts import them from: `from src.models import CenterNet`."""

from centernet.models import CenterNet, build_centernet

__all__ = ["CenterNet", "build_centernet"]
