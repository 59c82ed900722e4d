"""Drawn videos as a data set: objects with identities that meet and hide one another, and truth that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...boxes import clip
from ..dataset import VideoSequence
from ..moving_scenes import MovingScene, random_moving_scene
from ..sample import Annotation, DataError
from ..scenes import MAX_OBJECTS, SHAPES, Drawing, Scene
from .synthetic import DrawnDataset


class SyntheticSequences(DrawnDataset):
    """Random videos of shapes that come and go, meet, hide one another, and pass by or turn back.

    What happens in sequence i depends on (`seed`, i) alone, and frames are drawn when they are asked for. Each object
    keeps its looks, and no two of a sequence have about the same colour, so that they can be told apart after a meeting
    although place and speed do not tell. Identities run from 0 on over all sequences. Boxes are those of whole objects,
    as MOTChallenge has them, cut at the edges of the picture; of an object that is hidden by more than `max_hidden` the
    box is to ignore, and one that is hidden altogether or has left the picture has none.

    Args:
        num_sequences: number of videos.
        length: frames of each.
        speed: how fast time passes: at 1 two objects meet about every 75 frames, a training set shows more of what can
            happen in as many frames at 3.
        size: (height, width) of the pictures.
        seed: another seed gives other videos; training and validation need different ones.
        shapes: to draw.
        one_class: all shapes are of the one class ``object``; else each is a class of its own.
        objects: fewest and most objects of a video, those that are away counted too.
        object_size: smallest and largest diameter, in shorter sides of the picture; objects of one video are of about
            the same size.
        max_hidden: share of an object, 0..1, that others or the picture's edge may hide.
        frame_rate: frames per second, as it is told to trackers.

    Attributes:
        sequences: name, samples and frame rate of each video.

    Raises:
        DataError: a shape that cannot be drawn, or a number out of range.
    """

    _shapes_key = "shapes"

    def __init__(
        self,
        num_sequences: int,
        *,
        length: int = 150,
        speed: float = 1.0,
        size: tuple[int, int] = (256, 256),
        seed: int = 0,
        shapes: Sequence[str] = SHAPES,
        one_class: bool = True,
        objects: tuple[int, int] = (3, 6),
        object_size: tuple[float, float] = (0.15, 0.25),
        max_hidden: float = 0.5,
        frame_rate: float = 30.0,
    ) -> None:
        classes = {shape: "object" if one_class else shape for shape in shapes}
        super().__init__(
            ["object"] if one_class else shapes, classes, size=size, object_size=object_size, max_hidden=max_hidden
        )
        for name, value in (("num_sequences", num_sequences), ("length", length)):
            if value < 1:
                raise DataError(f"{name}: expected at least 1, got {value}")
        if not 1 <= objects[0] <= objects[1] <= MAX_OBJECTS:
            raise DataError(f"objects: expected (fewest, most) in 1..{MAX_OBJECTS}, got {objects}")
        for name, number in (("speed", speed), ("frame_rate", frame_rate)):
            if not 0 < number < 1e6:
                raise DataError(f"{name}: expected a number above 0, got {number}")
        self.length = length
        self.speed = speed
        self.seed = seed
        self.sequences = tuple(
            VideoSequence(f"moving_{seed}_{number:04d}", number * length, (number + 1) * length, frame_rate)
            for number in range(num_sequences)
        )
        counts = [
            int(np.random.default_rng([seed, number, 0]).integers(objects[0], objects[1] + 1))
            for number in range(num_sequences)
        ]
        self._first_identity = np.cumsum([0, *counts], dtype=np.int64)
        self.num_identities = int(self._first_identity[-1])

    def __len__(self) -> int:
        return len(self.sequences) * self.length

    def moving_scene(self, number: int) -> MovingScene:
        """All that happens in sequence `number`; identities of its objects count from 0."""
        objects = int(self._first_identity[number + 1] - self._first_identity[number])
        return _moving_scene(
            self.seed, number, self.size, self.length, self.speed, objects, self.object_size, self.shapes
        )

    def scene(self, index: int) -> Scene:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")
        number, frame = divmod(index, self.length)
        return self.moving_scene(number).frame(frame)

    def path(self, index: int) -> Path:
        number, frame = divmod(index, self.length)
        return Path(self.sequences[number].name, "img1", f"{frame + 1:06d}.png")

    def summary(self, *, examples: int = 5) -> str:
        """What will be drawn; counting it would be drawing it."""
        return f"{self!r}: {self.num_identities} identities, {', '.join(self.shapes)}"

    def __repr__(self) -> str:
        return f"SyntheticSequences({len(self.sequences)}, length={self.length}, size={self.size}, seed={self.seed})"

    def _annotation(self, index: int, scene: Scene, drawing: Drawing) -> Annotation:
        ends = [
            (outline.min(axis=0), outline.max(axis=0)) for outline in (item.outlines()[0] for item in scene.objects)
        ]
        whole = clip(np.array(ends, dtype=np.float32).reshape(-1, 4), self.size)
        boxes = np.where(drawing.visible[:, None] > 0, whole, 0).astype(np.float32)
        annotation = super()._annotation(index, scene, replace(drawing, boxes=boxes))
        return replace(annotation, ids=annotation.ids + self._first_identity[index // self.length])


@lru_cache(maxsize=4)  # a loader that shuffles pays a little more for each frame, one that does not pays once a video
def _moving_scene(
    seed: int,
    number: int,
    size: tuple[int, int],
    length: int,
    speed: float,
    objects: int,
    object_size: tuple[float, float],
    shapes: tuple[str, ...],
) -> MovingScene:
    rng = np.random.default_rng([seed, number, 1])
    return random_moving_scene(
        rng, size, length=length, speed=speed, objects=objects, object_size=object_size, shapes=shapes
    )
