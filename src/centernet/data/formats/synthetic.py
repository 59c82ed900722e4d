"""Drawn scenes and videos as data sets: no files, the same images everywhere, and truth that is exact."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ... import boxes as box_ops
from ...annotations.coco import write_coco
from ...annotations.problems import DataError, with_nearest
from ...annotations.voc import write_voc
from ...images import LazyImage
from ..dataset import DetectionDataset, VideoSequence
from ..moving_scenes import MovingScene, random_moving_scene
from ..sample import Annotation, Floats, Pixels, Sample
from ..scenes import MAX_OBJECTS, SHAPES, Drawing, Scene, draw, random_scene


class DrawnDataset(DetectionDataset):
    """Scenes that are drawn when they are asked for.

    Args:
        classes: shape → name of its class, for all that is drawn.
        option: the argument that says what is drawn, for messages.
        size: (height, width) of the images.
        seed: the scenes depend on it alone.
        object_size: smallest and largest diameter, in shorter sides of the image.
        max_hidden: share of an object, 0..1, that others or the image's edge may hide; of others the box is to ignore.

    Raises:
        DataError: a shape that cannot be drawn, or a number out of range.
    """

    def __init__(
        self,
        classes: Mapping[str, str],
        *,
        option: str,
        size: tuple[int, int],
        seed: int,
        object_size: tuple[float, float],
        max_hidden: float,
    ) -> None:
        super().__init__(dict.fromkeys(classes.values()))
        unknown = [name for name in classes if name not in SHAPES]
        if unknown or not classes:
            raise DataError(
                f"{option}: {with_nearest(unknown, SHAPES) or 'nothing'} cannot be drawn; "
                f"expected some of {', '.join(SHAPES)}"
            )
        if min(size) < 16:
            raise DataError(f"size: expected (height, width) of at least 16 pixels, got {size}")
        if not 0 < object_size[0] <= object_size[1] <= 1:
            raise DataError(f"object_size: expected (smallest, largest) above 0 and up to 1, got {object_size}")
        self.shapes = tuple(classes)
        self.size = size[0], size[1]
        self.seed = seed
        self.object_size = object_size[0], object_size[1]
        self.max_hidden = max_hidden
        self._classes = dict(classes)

    @abstractmethod
    def scene(self, index: int) -> Scene:
        """Return the state of scene `index`, before it is drawn."""

    def annotation(self, index: int) -> Annotation:
        return self._drawn(index)[1]

    def image(self, index: int) -> LazyImage:
        return LazyImage.of(self._drawn(index)[0])

    def __getitem__(self, index: int) -> Sample:
        image, annotation = self._drawn(index)
        arrays = {name: getattr(annotation, name).copy() for name in ("boxes", "labels", "ids", "ignore")}
        return Sample(image, **arrays, annotation=annotation)

    def _drawn(self, index: int) -> tuple[Pixels, Annotation]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")
        scene = self.scene(index)
        drawing = draw(scene)
        boxes = self._boxes(scene, drawing)
        rows = np.flatnonzero((boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1))
        label_of = {shape: self.class_names.index(name) for shape, name in self._classes.items()}
        shown = [scene.objects[row] for row in rows.tolist()]
        annotation = Annotation(
            path=self.path(index),
            image_id=index,
            height=self.size[0],
            width=self.size[1],
            boxes=boxes[rows],
            labels=np.array([label_of[item.shape] for item in shown], dtype=np.int64),
            ids=np.array([item.identity for item in shown], dtype=np.int64),
            ignore=drawing.visible[rows] < 1 - self.max_hidden,
            areas=box_ops.area(boxes[rows]),
        )
        return drawing.image, annotation

    def _boxes(self, scene: Scene, drawing: Drawing) -> Floats:
        """Return a box for each object of a scene; those less than a pixel wide or high are left out."""
        return drawing.boxes


class Synthetic(DrawnDataset):
    """Random scenes of shapes that overlap, on textured backgrounds with clutter.

    Sample i depends on (`seed`, i) alone and is drawn when it is asked for. Boxes are those of what is visible; of an
    object that is hidden by more than `max_hidden` the box is to ignore, and one that is hidden altogether has none.

    Args:
        num_images: number of scenes.
        size: (height, width) of the images.
        seed: another seed gives other scenes; training and validation need different ones.
        class_names: the shapes to draw, in the order of their labels.
        objects: fewest and most objects of a scene.
        object_size: smallest and largest diameter, in shorter sides of the image.
        max_hidden: share of an object, 0..1, that others or the image's edge may hide.

    Raises:
        DataError: a shape that cannot be drawn, or a number out of range.
    """

    def __init__(
        self,
        num_images: int,
        *,
        size: tuple[int, int] = (256, 256),
        seed: int = 0,
        class_names: Sequence[str] = SHAPES,
        objects: tuple[int, int] = (1, 8),
        object_size: tuple[float, float] = (0.1, 0.4),
        max_hidden: float = 0.7,
    ) -> None:
        classes = {name: name for name in class_names}
        super().__init__(
            classes, option="class_names", size=size, seed=seed, object_size=object_size, max_hidden=max_hidden
        )
        if num_images < 1:
            raise DataError(f"num_images: expected at least 1, got {num_images}")
        if not 0 <= objects[0] <= objects[1] <= 100:
            raise DataError(f"objects: expected (fewest, most) in 0..100, got {objects}")
        self.num_images = num_images
        self.objects = objects

    def __len__(self) -> int:
        return self.num_images

    def scene(self, index: int) -> Scene:
        rng = np.random.default_rng([self.seed, index])
        return random_scene(rng, self.size, objects=self.objects, object_size=self.object_size, shapes=self.shapes)

    def path(self, index: int) -> Path:
        return Path(f"scene_{self.seed}_{index:06d}.png")

    def summary(self, *, examples: int = 5) -> str:
        """Return what will be drawn; counting it would be drawing it."""
        return f"{self!r}: scenes of {self.objects[0]} to {self.objects[1]} of {', '.join(self.shapes)}"

    def __repr__(self) -> str:
        return f"Synthetic({self.num_images}, size={self.size}, seed={self.seed})"

    def write(
        self, folder: str | os.PathLike[str], *, format: Literal["voc", "coco"] = "voc", split: str = "train"
    ) -> Path:
        """Write the scenes as a data set of files, e.g. to try a command on.

        Args:
            folder: made if it isn't there; other splits in it stay.
            format: ``voc`` (JPEGImages, Annotations, ImageSets/Main) or ``coco`` (images, annotations_<split>.json).
            split: name of the list, and the beginning of the names of the files.

        Returns:
            The list or JSON file of the split.
        """
        images = Path(folder) / ("JPEGImages" if format == "voc" else "images")
        images.mkdir(parents=True, exist_ok=True)
        names = [f"{split}_{index:06d}.jpg" for index in range(len(self))]
        annotations: list[Annotation] = []
        for index, name in enumerate(names):
            image, annotation = self._drawn(index)
            Image.fromarray(image).save(images / name, quality=95, subsampling=0)
            annotations.append(annotation)
        if format == "voc":
            return write_voc(Path(folder), split, names, annotations, self.class_names, decimals=2)
        return write_coco(Path(folder), split, names, annotations, self.class_names)


class SyntheticSequences(DrawnDataset):
    """Random videos of shapes that come and go, meet, hide one another, and pass by or turn back.

    What happens in sequence i depends on (`seed`, i) alone, and frames are drawn when they are asked for. Each object
    keeps its looks, and no two of a sequence have about the same colour, so that they can be told apart after a meeting
    although place and speed do not tell. Identities run from 0 on over all sequences. Boxes are those of whole objects,
    as MOTChallenge has them, cut at the edges of the image; of an object that is hidden by more than `max_hidden` the
    box is to ignore, and one that is hidden altogether or has left the image has none.

    Args:
        num_sequences: number of videos.
        length: frames of each.
        speed: how fast time passes: at 1 two objects meet about every 75 frames, a training set shows more of what can
            happen in as many frames at 3.
        size: (height, width) of the images.
        seed: another seed gives other videos; training and validation need different ones.
        shapes: to draw.
        one_class: all shapes are of the one class ``object``; else each is a class of its own.
        objects: fewest and most objects of a video, those that are away counted too.
        object_size: smallest and largest diameter, in shorter sides of the image; objects of one video are of about
            the same size.
        max_hidden: share of an object, 0..1, that others or the image's edge may hide.
        frame_rate: frames per second, as it is told to trackers.

    Attributes:
        sequences: name, samples and frame rate of each video.

    Raises:
        DataError: a shape that cannot be drawn, or a number out of range.
    """

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
        super().__init__(classes, option="shapes", size=size, seed=seed, object_size=object_size, max_hidden=max_hidden)
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
        self.sequences = tuple(
            VideoSequence(f"moving_{seed}_{number:04d}", number * length, (number + 1) * length, frame_rate)
            for number in range(num_sequences)
        )
        rngs = (np.random.default_rng([seed, number, 0]) for number in range(num_sequences))
        counts = [int(rng.integers(objects[0], objects[1] + 1)) for rng in rngs]
        self._first_identity = np.cumsum([0, *counts], dtype=np.int64)
        self.num_identities = int(self._first_identity[-1])

    def __len__(self) -> int:
        return len(self.sequences) * self.length

    def moving_scene(self, number: int) -> MovingScene:
        """Return all that happens in sequence `number`."""
        return random_moving_scene(
            (self.seed, number, 1),
            self.size,
            length=self.length,
            speed=self.speed,
            identities=range(*self._first_identity[number : number + 2].tolist()),
            object_size=self.object_size,
            shapes=self.shapes,
        )

    def scene(self, index: int) -> Scene:
        number, frame = divmod(index, self.length)
        return self.moving_scene(number).frame(frame)

    def path(self, index: int) -> Path:
        number, frame = divmod(index, self.length)
        return Path(self.sequences[number].name, "img1", f"{frame + 1:06d}.png")

    def summary(self, *, examples: int = 5) -> str:
        """Return what will be drawn; counting it would be drawing it."""
        return f"{self!r}: {self.num_identities} identities, {', '.join(self.shapes)}"

    def __repr__(self) -> str:
        return f"SyntheticSequences({len(self.sequences)}, length={self.length}, size={self.size}, seed={self.seed})"

    def _boxes(self, scene: Scene, drawing: Drawing) -> Floats:
        outer = [item.outlines()[0] for item in scene.objects]
        whole = np.array([[*points.min(axis=0), *points.max(axis=0)] for points in outer], dtype=np.float32)
        return np.where(drawing.visible[:, None] > 0, box_ops.clip(whole, self.size), 0).astype(np.float32)
