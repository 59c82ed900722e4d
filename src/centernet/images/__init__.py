"""Image files of any kind as upright RGB arrays, and the one way from there to the network's input and back.

Arrays are uint8 H×W×3 in RGB. Sizes are (height, width). Coordinates are continuous: the whole image is ``0 0 W H``,
and the centre of its first pixel is at (.5, .5); OpenCV's pixel indices (first centre at 0) stay inside this room.
"""

from __future__ import annotations

from .listing import IMAGE_SUFFIXES, list_images
from .preprocessing import Preprocessing, ResizeRule
from .reading import ImageError, ImageSource, LazyImage, check_image, image_size, open_image, read_image
from .warping import Window, is_upright, warp, window

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageError",
    "ImageSource",
    "LazyImage",
    "Preprocessing",
    "ResizeRule",
    "Window",
    "check_image",
    "image_size",
    "is_upright",
    "list_images",
    "open_image",
    "read_image",
    "warp",
    "window",
]
