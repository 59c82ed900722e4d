"""The one way from an image to the network's input and back, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import cv2
import numpy as np

from centernet import boxes as box_ops

from . import published
from .reading import ImageError, check_image
from .warping import shrink, shrunk_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.boxes import Array

ResizeRule = Literal["letterbox", "stretch", "keep", "fix_res", "keep_res", "tensorflow"]
Channels = Literal["rgb", "bgr"]
_AT_SCALES = ("fix_res", "keep_res")


@dataclass(frozen=True)
class Preprocessing:
    """The way from an image to the network's input: plain values that travel in YAML, checkpoints and exported files.

    Attributes:
        size: (height, width) of the input in pixels; not used by ``keep``.
        resize: ``letterbox`` keeps the aspect, centres the image and fills the rest with `pad_value`; ``stretch``
            fills the whole input; ``keep`` leaves the scale and pads right and below to multiples of `divisor`.
            Published networks were measured with others, which are followed to the pixel: the original CenterNet's
            ``fix_res`` (the aspect kept, the image in the middle) and ``keep_res`` (the scale kept, the image in the
            middle of the next multiples of `divisor` above its size), and ``tensorflow``'s (the aspect kept, the image
            at the top left).
        mean, std: of values in 0..1, in the order of `channels`; the mean is subtracted before dividing by `std`.
        pad_value: gray level of the padding, 0..255.
        divisor: for ``keep`` and ``keep_res``.
        scale: of a test with ``fix_res`` or ``keep_res``, by which the image is resized before.
        align: where ``letterbox`` puts the image: in the ``center``, or in the ``corner`` at the top left.
        antialias: average over areas where ``letterbox`` and ``stretch`` shrink to half or less. Without it they
            interpolate alone, as OpenCV's plain resize does.
        channels: the order in which the network takes red, green and blue. Images are RGB everywhere; what makes the
            network's numbers of them puts these into its order.
    """

    size: tuple[int, int] = (512, 512)
    resize: ResizeRule = "letterbox"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    pad_value: int = 114
    divisor: int = 32
    channels: Channels = "rgb"
    scale: float = 1.0
    antialias: bool = True
    align: Literal["center", "corner"] = "center"

    def __post_init__(self) -> None:
        vars(self).update(  # the class is frozen
            size=_numbers("size", self.size, 2, "two whole numbers of pixels (height, width)", whole=True),
            mean=_numbers("mean", self.mean, 3, "three numbers (one a channel)"),
            std=_numbers("std", self.std, 3, "three numbers above 0 (one a channel)"),
            pad_value=_numbers("pad_value", (self.pad_value,), 1, "a whole number", whole=True)[0],
            divisor=_numbers("divisor", (self.divisor,), 1, "a whole number", whole=True)[0],
            scale=_numbers("scale", (self.scale,), 1, "a number above 0")[0],
        )
        rules = get_args(ResizeRule)
        for key, wrong, expected in (
            ("size", min(self.size) < 1, "(height, width) of at least 1"),
            ("std", min(self.std) <= 0, "three numbers above 0"),
            ("resize", self.resize not in rules, f"one of {', '.join(rules)}"),
            ("pad_value", not 0 <= self.pad_value <= 255, "a gray level 0..255"),
            ("divisor", self.divisor < 1, "at least 1"),
            ("scale", self.scale <= 0, "a number above 0"),
            (
                "scale",
                self.scale != 1 and self.resize not in _AT_SCALES,
                f"1, unless resize is {' or '.join(_AT_SCALES)}",
            ),
            ("channels", self.channels not in get_args(Channels), "rgb or bgr"),
            ("align", self.align not in ("center", "corner"), "center or corner"),
            ("align", self.align == "corner" and self.resize != "letterbox", "center, unless resize is letterbox"),
        ):
            if wrong:
                raise ValueError(f"preprocessing.{key}: expected {expected}, got {getattr(self, key)!r}")

    @property
    def one_size(self) -> bool:
        """True where images of all sizes become inputs of `size`."""
        return self.resize not in ("keep", "keep_res")

    def output_size(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) of the input that an image of this size becomes."""
        if self.one_size:
            return self.size
        if self.resize == "keep_res":
            return published.kept_size(published.resized_size(image_hw, self.scale), self.divisor)
        height, width = image_hw
        return -(-height // self.divisor) * self.divisor, -(-width // self.divisor) * self.divisor

    def matrix(self, image_hw: tuple[int, int]) -> NDArray[np.float64]:
        """Return the 2×3 float64 map from original pixels to input pixels, in continuous coordinates.

        The image fills whole pixels of the input, so the two scales of a letterbox differ by less than a pixel over it.
        """
        if self.resize in _AT_SCALES:
            matrix = self._warp(image_hw)
            return np.column_stack([self.scale * matrix[:, :2], matrix[:, 2]])
        top, left, height, width = self._placement(image_hw)
        return np.array([[width / image_hw[1], 0, left], [0, height / image_hw[0], top]], dtype=np.float64)

    def shrunk_size(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) to which an image of this size is averaged first, as `image_hw` of a call says."""
        if self.resize in (*_AT_SCALES, "tensorflow") or not self.antialias:
            return image_hw
        _, _, height, width = self._placement(image_hw)
        return shrunk_size(image_hw, height / image_hw[0], width / image_hw[1])

    def __call__(self, image: NDArray[np.uint8], image_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the input for an image uint8 H×W×3: uint8, `output_size`×3.

        Args:
            image: the pixels.
            image_hw: (height, width) of the image where `image` has its pixels averaged to `shrunk_size` already.

        Raises:
            ImageError: another type or shape.
        """
        check_image(image)
        image_hw = image_hw or (image.shape[0], image.shape[1])
        canvas_hw = self.output_size(image_hw)
        if self.resize in _AT_SCALES:
            resized_hw = published.resized_size(image_hw, self.scale)
            return published.warped(image, resized_hw, self._warp(image_hw), canvas_hw, self.pad_value)
        top, left, height, width = self._placement(image_hw)
        # The same map as warp(image, self.matrix(...)), but from whole pixels to whole pixels, so that the outermost
        # pixels of the image are not mixed with the padding, and equal in OpenCV 4 and 5.
        resized = shrink(image, height / image.shape[0], width / image.shape[1]) if self.antialias else image
        if self.resize == "tensorflow":
            resized = published.tensorflow_resized(image, (height, width))
        if resized.shape[:2] != (height, width):
            resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
        if canvas_hw == (height, width):
            return np.ascontiguousarray(resized)
        canvas = np.full((*canvas_hw, 3), self.pad_value, dtype=np.uint8)
        canvas[top : top + height, left : left + width] = resized
        return canvas

    def to_input(self, boxes: Array, image_hw: tuple[int, int]) -> Array:
        """Map boxes …×N×4 from original pixels to input pixels."""
        return box_ops.transform(boxes, self.matrix(image_hw))

    def to_original(self, boxes: Array, image_hw: tuple[int, int], *, clip: bool = True) -> Array:
        """Map boxes …×N×4 from input pixels to original pixels: the inverse of `to_input`, clipped to the image."""
        (scale_x, _, left), (_, scale_y, top) = self.matrix(image_hw)
        inverse = [[1 / scale_x, 0, -left / scale_x], [0, 1 / scale_y, -top / scale_y]]
        boxes = box_ops.transform(boxes, np.array(inverse, dtype=np.float64))
        return box_ops.clip(boxes, image_hw) if clip else boxes

    def normalize(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert uint8 N×H×W×3, or one H×W×3, to the network's float32 N×3×H×W, or 3×H×W.

        A value becomes ``(value / 255 - mean) / std``; planes are in the order of `channels`.

        Raises:
            ImageError: another dtype or shape.
        """
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
            got = f"{images.dtype} of shape {images.shape}"
            raise ImageError(f"expected uint8 images N×H×W×3 or H×W×3 (RGB, values 0..255), got {got}")
        if self.channels == "bgr":
            images = images[..., ::-1]
        scale = (1 / (255 * np.array(self.std))).astype(np.float32)
        offset = (-np.array(self.mean) / np.array(self.std)).astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(images * scale + offset, -1, -3))

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, for YAML and JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Make one of what `to_dict` returned; keys that are left out have their defaults.

        Raises:
            ValueError: an unknown key, or a value out of range; the message names the key.
        """
        known = [field.name for field in fields(cls)]
        unknown = [str(key) for key in values if key not in known]
        if unknown:
            raise ValueError(f"preprocessing: unknown key {', '.join(unknown)}; expected any of {', '.join(known)}")
        return cls(**values)

    def _warp(self, image_hw: tuple[int, int]) -> NDArray[np.float64]:
        """Return the map from the image, resized by `scale`, to the input, of the original's rules."""
        _check_size(image_hw)
        resized = published.resized_size(image_hw, self.scale)
        if self.resize == "fix_res":
            return published.fixed_matrix(resized, image_hw, self.size)
        return published.kept_matrix(resized, self.output_size(image_hw))

    def _placement(self, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return top, left, height and width of the image in the input, in whole pixels."""
        height, width = image_hw
        _check_size(image_hw)
        if self.resize == "keep":
            return 0, 0, height, width
        if self.resize == "stretch":
            return 0, 0, *self.size
        if self.resize == "tensorflow":
            return 0, 0, *published.tensorflow_size(image_hw, self.size)
        scale = min(self.size[0] / height, self.size[1] / width)
        new_height = min(self.size[0], max(1, round(height * scale)))
        new_width = min(self.size[1], max(1, round(width * scale)))
        if self.align == "corner":
            return 0, 0, new_height, new_width
        return (self.size[0] - new_height) // 2, (self.size[1] - new_width) // 2, new_height, new_width


def _check_size(image_hw: tuple[int, int]) -> None:
    height, width = image_hw
    if height < 1 or width < 1:
        raise ImageError(f"the image is {height}×{width} pixels (height×width): expected at least 1×1")


def _numbers(key: str, values: Any, count: int, expected: str, *, whole: bool = False) -> tuple[Any, ...]:
    """Return `values` as a tuple of plain ints or floats, or raise a ValueError that names the key."""
    kind = int if whole else float
    try:
        numbers = tuple(kind(v) for v in values)
        exact = not isinstance(values, str) and all(kind(v) == v and math.isfinite(v) for v in values)
    except (TypeError, ValueError, OverflowError):
        numbers, exact = (), False
    if len(numbers) != count or not exact:
        raise ValueError(f"preprocessing.{key}: expected {expected}, got {values!r}")
    return numbers
