"""Transforms from an image of any size to the network's input: with chance for training, without for evaluation.

Pixels stay uint8: normalisation is done on the device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .. import boxes as box_ops
from ..annotations.problems import check_option
from ..images import Preprocessing, is_upright, warp, window
from .sample import Pixels, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601: gray of an RGB pixel
# Luma and two chroma axes, NTSC's YIQ: a turn of the chroma plane is a change of hue that keeps the luma.
_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_YIQ_INVERSE = np.linalg.inv(_YIQ)
# To scale the chroma plane by s and turn it by t is the sum of the first of these matrices of RGB, s · cos t times the
# second, and s · sin t times the third.
_KEEP_LUMA = _YIQ_INVERSE @ np.diag([1, 0, 0]) @ _YIQ
_KEEP_CHROMA = _YIQ_INVERSE @ np.diag([0, 1, 1]) @ _YIQ
_TURN_CHROMA = _YIQ_INVERSE @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ _YIQ


class Transform(ABC):
    """The way of a sample from the file to the batch.

    Attributes:
        close: share of a run, 0..1, at its end, in which samples are transformed by a plain call instead of `mix`.
    """

    close: float = 0.0

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator, preprocessing: Preprocessing) -> Sample:
        """Return a new sample of the network's input size; `sample` and its annotation stay as they are.

        Args:
            sample: image and boxes in original pixels.
            rng: the only source of chance.
            preprocessing: the input's size, how images are fitted into it, and the colour of what they don't cover.
        """

    def mix(
        self, sample: Sample, draw: Callable[[], Sample], rng: np.random.Generator, preprocessing: Preprocessing
    ) -> Sample:
        """Transform in training: as a call, with other samples at hand; the call itself where there is no use for them.

        `draw` gives another random, readable sample of the data set at each call, by numbers from `rng`.
        """
        return self(sample, rng, preprocessing)

    def largest_scale(self, image_hw: tuple[int, int], preprocessing: Preprocessing) -> float:
        """Return how many pixels of the input a pixel of an image of `image_hw` can become at most, along a side.

        No more pixels of the image than this are ever looked at, so a cache may keep it reduced. Infinity, unless a
        transform says otherwise: images are wanted as they are.
        """
        return math.inf


class Resize(Transform):
    """The transform of evaluation: as inference does it, and nothing else."""

    def __call__(self, sample: Sample, rng: np.random.Generator, preprocessing: Preprocessing) -> Sample:
        boxes, matrix = preprocessing.to_input(sample.boxes, sample.size_hw), preprocessing.matrix(sample.size_hw)
        return sample.select(np.arange(len(boxes)), image=preprocessing(sample.image), boxes=boxes, matrix=matrix)


class Augment(Transform):
    """The augmentation of training: one warp and one colour transform.

    The geometry is that of the original CenterNet: a window of `scale` times the image, around a point near its
    centre, becomes the input. Mirroring, a change of aspect, rotation and shear go into the same affine matrix, so that
    each pixel is interpolated once. The colours change by one 3×4 matrix on uint8 values.

    The image is decoded no larger than the window needs it. Without rotation and shear the warp is a resize of whole
    pixels: window and image move by less than a pixel of the input to fit, and the boxes with them.

    An object that the window cuts down to less than `min_visibility` of its area, or that is shorter than `min_size`
    input pixels, is no longer something to be found, but isn't background either: what is left of it becomes an ignore
    box. Boxes of which nothing is left are dropped. The others are cut at the edges of the window, unless the data set
    is amodal: then objects keep their whole boxes, and ignore boxes alone are cut.

    Args:
        scale: smallest and largest side of the window in sides of the (fitted) image: below 1 magnifies, above 1
            leaves a border.
        translate: how far the window's centre may lie from the image's, in sides of the image.
        aspect: largest factor by which width and height are changed against each other; 1 leaves the aspect.
        rotate: largest angle in degrees, to either side. Boxes become those around the turned corners.
        shear: largest angle in degrees by which either axis leans.
        flip: probability of mirroring left and right.
        vertical_flip: probability of mirroring top and bottom (images from a microscope or from above).
        quarter_turns: turn by 0, 90, 180 or 270 degrees, each as likely (for the same images).
        brightness: values are multiplied by up to 1 ± this.
        contrast: distances from the image's mean gray are multiplied by up to 1 ± this.
        saturation: distances from each pixel's gray are multiplied by up to 1 ± this.
        hue: largest turn of the colours to either side, in whole turns of the colour circle.
        min_visibility: share of its area, 0..1, that an object must keep.
        min_size: in input pixels, both sides.

    Raises:
        DataError: a value out of its range; the message names it.
    """

    def __init__(
        self,
        *,
        scale: tuple[float, float] = (0.6, 1.4),
        translate: float = 0.3,
        aspect: float = 1.0,
        rotate: float = 0.0,
        shear: float = 0.0,
        flip: float = 0.5,
        vertical_flip: float = 0.0,
        quarter_turns: bool = False,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.02,
        min_visibility: float = 0.25,
        min_size: float = 1.0,
    ) -> None:
        shares = {"flip": flip, "vertical_flip": vertical_flip, "min_visibility": min_visibility}
        colours = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        lengths = {"translate": translate, "rotate": rotate, "hue": hue, "min_size": min_size}
        for name, value, right, expected in (
            ("scale", scale, 0 < scale[0] <= scale[-1], "two numbers above 0, the smaller first"),
            ("aspect", aspect, aspect >= 1, "at least 1"),
            ("shear", shear, 0 <= shear < 60, "degrees from 0 to below 60"),
            *((name, value, 0 <= value <= 1, "a number in 0..1") for name, value in shares.items()),
            *((name, value, 0 <= value < 1, "a number from 0 to below 1") for name, value in colours.items()),
            *((name, value, 0 <= value < math.inf, "a number of at least 0") for name, value in lengths.items()),
        ):
            check_option(f"augmentation.{name}", right, expected, value)
        self.scale, self.translate, self.aspect = scale, translate, aspect
        self.rotate, self.shear, self.quarter_turns = rotate, shear, quarter_turns
        self.flip, self.vertical_flip = flip, vertical_flip
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.min_visibility, self.min_size = min_visibility, min_size
        self.smallest_window = scale[0]

    def __call__(self, sample: Sample, rng: np.random.Generator, preprocessing: Preprocessing) -> Sample:
        matrix = self.matrix(sample.size_hw, rng, preprocessing, self.scale)
        return self.apply(sample, matrix, preprocessing.size, rng, preprocessing.pad_value)

    def apply(
        self, sample: Sample, matrix: Matrix, size_hw: tuple[int, int], rng: np.random.Generator, pad_value: int
    ) -> Sample:
        """Return the sample warped by a matrix (2×3, from original pixels) to an image of `size_hw`, in random colours;
        what the image does not cover is of the gray level `pad_value`."""
        (a, b, _), (c, d, _) = matrix.tolist()
        pixels, (scale_x, scale_y) = sample.read(max(math.hypot(a, c), math.hypot(b, d)))
        of_pixels = np.array([scale_x, scale_y, 1])  # the columns of a matrix for them to those of one for the sample
        matrix = matrix / of_pixels
        colours = self.colour_matrix(pixels, rng)
        if is_upright(matrix):
            seen = window(pixels, matrix, size_hw)
            image = np.full((*size_hw, 3), pad_value, dtype=np.uint8)
            if seen is not None:
                self._recolour(seen.pixels, colours, image[seen.rows, seen.columns])
                matrix = seen.matrix
        else:
            # The border is given the colour that the colour transform turns into the padding that inference has.
            border = np.linalg.solve(colours[:, :3], pad_value - colours[:, 3])
            red, green, blue = (int(value) for value in border.round().clip(0, 255))
            image = warp(pixels, matrix, size_hw, (red, green, blue))
            self._recolour(image, colours, image)
        return self._with_boxes(sample, image, matrix * of_pixels)

    def _recolour(self, image: Pixels, colours: Matrix, into: Pixels) -> None:
        if self.brightness or self.contrast or self.saturation or self.hue:
            cv2.transform(image, colours, dst=into)
        elif into is not image:
            into[:] = image

    def largest_scale(self, image_hw: tuple[int, int], preprocessing: Preprocessing) -> float:
        fit = max(max(_fit(image_hw, preprocessing, turns)) for turns in range(1 + self.quarter_turns))
        return fit / self.smallest_window * math.sqrt(self.aspect) / math.cos(math.radians(self.shear))

    def matrix(
        self,
        image_hw: tuple[int, int],
        rng: np.random.Generator,
        preprocessing: Preprocessing,
        scale: tuple[float, float],
    ) -> Matrix:
        """Return a random 2×3 matrix, float64, from the pixels of an image to those of the input, with this `scale`."""
        (height, width), (out_height, out_width) = image_hw, preprocessing.size
        turns = int(rng.integers(4)) if self.quarter_turns else 0
        fit_x, fit_y = _fit(image_hw, preprocessing, turns)
        zoom = 1 / rng.uniform(*scale)
        aspect = self.aspect ** rng.uniform(-0.5, 0.5)
        angle = math.radians(rng.uniform(-self.rotate, self.rotate))
        lean_x, lean_y = (math.tan(math.radians(rng.uniform(-self.shear, self.shear))) for _ in range(2))
        mirror_x = -1.0 if rng.random() < self.flip else 1.0
        mirror_y = -1.0 if rng.random() < self.vertical_flip else 1.0
        centre = [(0.5 + rng.uniform(-self.translate, self.translate)) * side for side in (width, height)]

        linear = np.array([[fit_x * zoom * aspect * mirror_x, 0], [0, fit_y * zoom / aspect * mirror_y]])
        if turns:
            linear = linear @ _rotation(turns * math.pi / 2)
        if angle or lean_x or lean_y:
            linear = _rotation(angle) @ np.array([[1, lean_x], [lean_y, 1]]) @ linear
        shift = [out_width / 2, out_height / 2] - linear @ centre
        return np.column_stack([linear, shift])

    def colour_matrix(self, image: Pixels, rng: np.random.Generator) -> Matrix:
        """Return a random 3×4 matrix, float64: new RGB = matrix · (R, G, B, 1)."""
        brightness, contrast, saturation = (
            rng.uniform(1 - amount, 1 + amount) for amount in (self.brightness, self.contrast, self.saturation)
        )
        turn = rng.uniform(-self.hue, self.hue) * 2 * math.pi
        gray = float(np.array(cv2.mean(np.ascontiguousarray(image[::8, ::8]))[:3]) @ _LUMA)
        along, across = saturation * math.cos(turn), saturation * math.sin(turn)
        result = np.empty((3, 4))
        result[:, :3] = brightness * contrast * (_KEEP_LUMA + along * _KEEP_CHROMA + across * _TURN_CHROMA)
        result[:, 3] = brightness * (1 - contrast) * gray
        return result

    def _with_boxes(self, sample: Sample, image: Pixels, matrix: Matrix) -> Sample:
        whole = seen = box_ops.transform(sample.boxes, matrix)
        if sample.amodal:  # what lies outside the image is not seen, wherever the window is
            seen = box_ops.transform(box_ops.clip(sample.boxes, sample.size_hw), matrix)
        boxes = box_ops.clip(seen, (image.shape[0], image.shape[1]))
        sides = boxes[:, 2:] - boxes[:, :2]
        rows = np.flatnonzero((sides > 0).all(axis=1))
        hidden = sides.clip(0).prod(axis=1) < self.min_visibility * (whole[:, 2:] - whole[:, :2]).prod(axis=1)
        hidden |= (sides < self.min_size).any(axis=1)
        ignore = sample.ignore | hidden
        if sample.amodal:
            boxes = np.where(ignore[:, None], boxes, whole)
        return sample.select(rows, image=image, boxes=boxes[rows], ignore=ignore[rows], matrix=matrix)


def _fit(image_hw: tuple[int, int], preprocessing: Preprocessing, turns: int) -> tuple[float, float]:
    """Return the scales across and down by which an image, turned by so many quarters, is fitted into the input."""
    across, down = image_hw if turns % 2 else image_hw[::-1]
    fit_x, fit_y = preprocessing.size[1] / across, preprocessing.size[0] / down
    if preprocessing.resize != "stretch":
        fit_x = fit_y = min(fit_x, fit_y)
    return fit_x, fit_y


def _rotation(angle: float) -> Matrix:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
