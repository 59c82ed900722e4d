"""Augmentation with several images in one: Mosaic (Bochkovskiy et al., 2020, "YOLOv4", arXiv 2004.10934) and MixUp
(Zhang et al., 2018, arXiv 1710.09412; for detection Zhang et al., 2019, arXiv 1902.04103, with all boxes kept).

Unlike in YOLOv4 and YOLOX each image of a mosaic is warped once, straight to its part of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from .. import boxes as box_ops
from ..annotations.problems import check_option
from ..images import Preprocessing
from .fields import moved
from .sample import Sample
from .transforms import Augment

_CENTRE = (0.25, 0.75)  # where the four parts may meet, in sides of the input
_BETA = 8.0  # of MixUp's weights, both parameters, as in YOLOX: 95 % lie in 0.27 .. 0.73


class Mosaic(Augment):
    """Augment, with other images of the data set mixed in, for long trainings on few images.

    The result is that of Augment, of a mosaic of four images around a random point, or of a blend of either with a
    further image. All boxes stay, with their labels, identities and ignore flags; what the border of a part cuts down
    to less than `min_visibility` becomes an ignore box, as in Augment, and so does an amodal box whose centre would lie
    in another part. The annotation is that of the first image.

    Such images are unlike those that the network is to work on, so the last epochs (`close`) do without.

    Args:
        mosaic: probability of a mosaic.
        mixup: probability that a further augmented image is blended in, about half and half.
        close: share of the run, at its end, in which nothing is mixed: at least one epoch; 0 mixes to the end.
        mosaic_scale: as Augment's `scale`, for the images of a mosaic: at 2 an image has half the size that it would
            have alone. An image larger than its part shows a random window of itself; a smaller one touches the point
            where all four meet.
        **augment: of Augment.
    """

    def __init__(
        self,
        *,
        mosaic: float = 0.5,
        mixup: float = 0.1,
        close: float = 0.1,
        mosaic_scale: tuple[float, float] = (0.7, 2.0),
        **augment: Any,
    ) -> None:
        super().__init__(**augment)
        for name, value in {"mosaic": mosaic, "mixup": mixup, "close": close}.items():
            check_option(f"augmentation.{name}", 0 <= value <= 1, "a number in 0..1", value)
        right = 0 < mosaic_scale[0] <= mosaic_scale[-1]
        check_option("augmentation.mosaic_scale", right, "two numbers above 0, the smaller first", mosaic_scale)
        self.mosaic, self.mixup, self.close, self.mosaic_scale = mosaic, mixup, close, mosaic_scale
        if mosaic:
            self.smallest_window = min(self.scale[0], mosaic_scale[0])

    def mix(
        self, sample: Sample, draw: Callable[[], Sample], rng: np.random.Generator, preprocessing: Preprocessing
    ) -> Sample:
        if rng.random() < self.mosaic:
            mixed = self._four([sample, draw(), draw(), draw()], rng, preprocessing)
        else:
            mixed = self(sample, rng, preprocessing)
        if rng.random() < self.mixup:
            share = float(rng.beta(_BETA, _BETA))
            other = self(draw(), rng, preprocessing)
            image = cv2.addWeighted(mixed.image, share, other.image, 1 - share, 0.0).astype(np.uint8, copy=False)
            mixed = _together([mixed, other], image)
        return mixed

    def _four(self, samples: Sequence[Sample], rng: np.random.Generator, preprocessing: Preprocessing) -> Sample:
        """Put images into the four parts of one: top left, top right, bottom left, bottom right."""
        height, width = preprocessing.size
        across, down = (int(np.clip(round(rng.uniform(*_CENTRE) * side), 1, side - 1)) for side in (width, height))
        image = np.empty((height, width, 3), dtype=np.uint8)
        parts = []
        for place, sample in enumerate(samples):
            right, below = place % 2 == 1, place >= 2
            x1, x2 = (across, width) if right else (0, across)
            y1, y2 = (down, height) if below else (0, down)
            matrix = self.matrix(sample.size_hw, rng, preprocessing, self.mosaic_scale)
            for axis, room, far in ((0, x2 - x1, right), (1, y2 - y1, below)):
                _move(matrix[axis], sample.size_hw, room, far, rng)
            part = self.apply(sample, matrix, (y2 - y1, x2 - x1), rng, preprocessing.pad_value)
            image[y1:y2, x1:x2] = part.image
            if part.amodal:
                _ignore_centres_outside(part)
            part.boxes = part.boxes + np.array([x1, y1, x1, y1], dtype=np.float32)
            part.data = moved(part.data, part.fields, np.array([[1, 0, x1], [0, 1, y1]]), (height, width))
            parts.append(part)
        return _together(parts, image)


def _move(row: Any, size_hw: tuple[int, int], room: int, far: bool, rng: np.random.Generator) -> None:
    """Shift an image along one axis, whose row of the matrix this is, within its part, which may be the far one."""
    across, down = row[0] * size_hw[1], row[1] * size_hw[0]
    spare = room - abs(across) - abs(down)  # beside the turned image
    window = rng.uniform(min(spare, 0), 0)  # drawn in any case: what follows is the same for all sizes
    start = window if spare < 0 else 0 if far else spare
    row[2] = start - min(across, 0) - min(down, 0)


def _ignore_centres_outside(part: Sample) -> None:
    """Make ignore boxes, cut at its edges, of the objects whose centres would come to lie in another part."""
    height, width = part.image.shape[:2]
    centres = (part.boxes[:, :2] + part.boxes[:, 2:]) / 2
    outside = np.any((centres < 0) | (centres >= np.array([width, height])), axis=1)
    part.ignore = part.ignore | outside
    part.boxes = np.where(outside[:, None], box_ops.clip(part.boxes, (height, width)), part.boxes)


def _together(samples: Sequence[Sample], image: Any) -> Sample:
    """Return one sample with the boxes of all, and the annotation of the first."""
    names = ("boxes", "labels", "ids", "ignore")
    arrays = {name: np.concatenate([getattr(sample, name) for sample in samples]) for name in names}
    data = {name: np.concatenate([sample.data[name] for sample in samples]) for name in samples[0].data}
    return samples[0].replace(image=image, amodal=any(sample.amodal for sample in samples), data=data, **arrays)
