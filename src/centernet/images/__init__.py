"""Image files of any kind as upright RGB arrays, and the one way to the network's input and back.

Arrays are uint8 H×W×3 in RGB. Sizes are (height, width). Coordinates are continuous: the whole image is ``0 0 W H``,
and the centre of its first pixel is at (.5, .5); OpenCV's pixel indices (first centre at 0) stay inside this room.
"""

from __future__ import annotations

from .handed import EXPECTED as EXPECTED, as_rgb as as_rgb, is_image as is_image, own_copy as own_copy
from .listing import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
    list_images as list_images,
    natural_order as natural_order,
    walk_files as walk_files,
    walk_folders as walk_folders,
    walk_images as walk_images,
)
from .preprocessing import Preprocessing as Preprocessing
from .reading import (
    ImageError as ImageError,
    LazyImage as LazyImage,
    check_image as check_image,
    image_size as image_size,
    open_image as open_image,
    read_image as read_image,
)
from .warping import is_upright as is_upright, warp as warp, window as window
