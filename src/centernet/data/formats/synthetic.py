"""Drawn scenes as a data set: no files, the same pictures everywhere, and truth that is exact."""

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
from ...annotations.problems import with_nearest
from ...annotations.voc import write_voc
from ...images import LazyImage
from ..dataset import DetectionDataset
from ..sample import Annotation, DataError, Sample
from ..scenes import SHAPES, Drawing, Scene, draw, random_scene


class DrawnDataset(DetectionDataset):
    """Scenes that are drawn when they are asked for. Boxes are those of what is visible; of an object that is hidden by
    more than `max_hidden` the box is to ignore, and one that is hidden altogether has none.

    Args:
        class_names: what each label means.
        classes: shape → name of its class, for all that is drawn.
        size: (height, width) of the pictures.
        object_size: smallest and largest diameter, in shorter sides of the picture.
        max_hidden: share of an object, 0..1, that others or the picture's edge may hide.

    Raises:
        DataError: a shape that cannot be drawn, or a number out of range.
    """

    _shapes_key = "class_names"  # the argument that says what is drawn

    def __init__(
        self,
        class_names: Sequence[str],
        classes: Mapping[str, str],
        *,
        size: tuple[int, int],
        object_size: tuple[float, float],
        max_hidden: float,
    ) -> None:
        super().__init__(class_names)
        unknown = [name for name in classes if name not in SHAPES]
        if unknown or not classes:
            raise DataError(
                f"{self._shapes_key}: {with_nearest(unknown, SHAPES) or 'nothing'} cannot be drawn; "
                f"expected some of {', '.join(SHAPES)}"
            )
        if min(size) < 16:
            raise DataError(f"size: expected (height, width) of at least 16 pixels, got {size}")
        if not 0 < object_size[0] <= object_size[1] <= 1:
            raise DataError(f"object_size: expected (smallest, largest) above 0 and up to 1, got {object_size}")
        self.shapes = tuple(classes)
        self.size = size
        self.object_size = object_size
        self.max_hidden = max_hidden
        self._classes = dict(classes)

    @abstractmethod
    def scene(self, index: int) -> Scene:
        """The state of scene `index`, before it is drawn.

        Raises:
            IndexError: `index` is not in 0 .. len - 1.
        """

    def annotation(self, index: int) -> Annotation:
        scene = self.scene(index)
        return self._annotation(index, scene, draw(scene))

    def image(self, index: int) -> LazyImage:
        return LazyImage.of(draw(self.scene(index)).image)

    def __getitem__(self, index: int) -> Sample:
        scene = self.scene(index)
        drawing = draw(scene)
        annotation = self._annotation(index, scene, drawing)
        arrays = {name: getattr(annotation, name).copy() for name in ("boxes", "labels", "ids", "ignore")}
        return Sample(drawing.image, **arrays, annotation=annotation)

    def _annotation(self, index: int, scene: Scene, drawing: Drawing) -> Annotation:
        label_of = {name: label for label, name in enumerate(self.class_names)}
        labels = np.array([label_of[self._classes[item.shape]] for item in scene.objects], dtype=np.int64)
        ids = np.array([item.identity for item in scene.objects], dtype=np.int64)
        sides = drawing.boxes[:, 2:] - drawing.boxes[:, :2]
        rows = np.flatnonzero((sides >= 1).all(axis=1))
        return Annotation(
            path=self.path(index),
            image_id=index,
            height=self.size[0],
            width=self.size[1],
            boxes=drawing.boxes[rows],
            labels=labels[rows],
            ids=ids[rows],
            ignore=drawing.visible[rows] < 1 - self.max_hidden,
            areas=box_ops.area(drawing.boxes[rows]),
        )


class Synthetic(DrawnDataset):
    """Random scenes of shapes that overlap, on textured backgrounds with clutter.

    Sample i depends on (`seed`, i) alone and is drawn when it is asked for. Boxes are those of what is visible; of an
    object that is hidden by more than `max_hidden` the box is to ignore, and one that is hidden altogether has none.

    Args:
        num_images: number of scenes.
        size: (height, width) of the pictures.
        seed: another seed gives other scenes; training and validation need different ones.
        class_names: the shapes to draw, in the order of their labels.
        objects: fewest and most objects of a scene.
        object_size: smallest and largest diameter, in shorter sides of the picture.
        max_hidden: share of an object, 0..1, that others or the picture's edge may hide.

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
        super().__init__(class_names, classes, size=size, object_size=object_size, max_hidden=max_hidden)
        if num_images < 1:
            raise DataError(f"num_images: expected at least 1, got {num_images}")
        if not 0 <= objects[0] <= objects[1] <= 100:
            raise DataError(f"objects: expected (fewest, most) in 0..100, got {objects}")
        self.num_images = num_images
        self.seed = seed
        self.objects = objects

    def __len__(self) -> int:
        return self.num_images

    def scene(self, index: int) -> Scene:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {self!r}: expected 0 .. {len(self) - 1}")
        rng = np.random.default_rng([self.seed, index])
        return random_scene(rng, self.size, objects=self.objects, object_size=self.object_size, shapes=self.shapes)

    def path(self, index: int) -> Path:
        return Path(f"scene_{self.seed}_{index:06d}.png")

    def summary(self, *, examples: int = 5) -> str:
        """What will be drawn; counting it would be drawing it."""
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
        folder = Path(folder)
        pictures = folder / ("JPEGImages" if format == "voc" else "images")
        pictures.mkdir(parents=True, exist_ok=True)
        annotations: list[Annotation] = []
        names: list[str] = []
        for index in range(len(self)):
            sample = self[index]
            names.append(f"{split}_{index:06d}.jpg")
            Image.fromarray(sample.image).save(pictures / names[-1], quality=95, subsampling=0)
            annotations.append(sample.annotation)
        if format == "voc":
            return write_voc(folder, split, names, annotations, self.class_names, decimals=2)
        return write_coco(folder, split, names, annotations, self.class_names)
