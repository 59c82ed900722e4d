"""Drawn scenes and videos as data sets: no files, the same images everywhere, and truth that is exact."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from ... import boxes as box_ops
from ...annotations.coco import write_coco
from ...annotations.keypoints import keypoint_column
from ...annotations.problems import check_option, choose_class_names
from ...annotations.voc import write_voc
from ...images import LazyImage
from ...whole import write_bytes
from ..animals import ANIMAL, draw_scenery, random_scenery
from ..dataset import DetectionDataset, VideoSequence
from ..sample import Annotation, Pixels, Sample
from ..scenes import MAX_OBJECTS, SHAPES, Scene, Style, draw, random_scene, random_video


class Synthetic(DetectionDataset):
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

    whole = False  # boxes of whole objects, cut at the edges of the image; else of what is visible

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
        super().__init__(choose_class_names(class_names, SHAPES, "shapes: " if self.whole else "", "shapes to draw"))
        check_option("num_images", num_images >= 1, "at least 1", num_images)
        check_option("size", min(size) >= 16, "(height, width) of at least 16 pixels", size)
        right = self.whole <= objects[0] <= objects[1] <= MAX_OBJECTS
        check_option("objects", right, f"(fewest, most) in {int(self.whole)}..{MAX_OBJECTS}", objects)
        right = 0 < object_size[0] <= object_size[1] <= 1
        check_option("object_size", right, "(smallest, largest) above 0 and up to 1", object_size)
        self.num_images, self.seed, self.max_hidden = num_images, seed, max_hidden
        (height, width), (fewest, most), (smallest, largest) = size, objects, object_size  # a configuration has lists
        self.style = Style((height, width), self.class_names, (fewest, most), (smallest, largest))
        self._labels = {shape: label for label, shape in enumerate(class_names)}
        self._text = f"{type(self).__name__}({num_images} images, size={self.style.size}, seed={seed})"

    def __len__(self) -> int:
        return self.num_images

    def scene(self, index: int) -> Scene:
        """Return the state of scene `index`, before it is drawn."""
        return random_scene(np.random.default_rng([self.seed, index]), self.style)

    def path(self, index: int) -> Path:
        return Path(f"scene_{self.seed}_{index:06d}.png")

    def annotation(self, index: int) -> Annotation:
        return self._drawn(index)[1]

    def image(self, index: int) -> LazyImage:
        return LazyImage.of(self._drawn(index)[0])

    def __getitem__(self, index: int) -> Sample:
        image, annotation = self._drawn(index)
        return self._sample(image, annotation)

    def _drawn(self, index: int) -> tuple[Pixels, Annotation]:
        self._check(index)
        scene = self.scene(index)
        image, boxes, visible = draw(scene, whole=self.whole)
        labels = np.array([self._labels[item.shape] for item in scene.objects], dtype=np.int64)
        ids = np.array([item.identity for item in scene.objects], dtype=np.int64)
        areas, ignore = box_ops.area(boxes), visible < 1 - self.max_hidden
        annotation = Annotation(self.path(index), index, *self.style.size, boxes, labels, ids, ignore, areas)
        return image, annotation.select(np.all(boxes[:, 2:] - boxes[:, :2] >= 1, axis=1))

    def summary(self) -> str:
        """Return what will be drawn; counting it would be drawing it."""
        fewest, most = self.style.objects
        identities = f"{self.num_identities} identities, " if self.num_identities else ""
        return f"{self!r}: {identities}scenes of {fewest} to {most} of {', '.join(self.style.shapes)}"

    def write(
        self, folder: str | os.PathLike[str], *, format: Literal["voc", "coco"] = "voc", split: str = "train"
    ) -> Path:
        """Write the scenes as a data set of files, e.g. to try a command on. Returns the split's list or JSON file.

        Args:
            folder: made if it isn't there; other splits in it stay.
            format: ``voc`` (JPEGImages, Annotations, ImageSets/Main) or ``coco`` (images, annotations_<split>.json).
            split: name of the list, and the beginning of the names of the files.
        """
        images = Path(folder) / ("JPEGImages" if format == "voc" else "images")
        names, truths = [f"{split}_{index:06d}.jpg" for index in range(len(self))], list[Annotation]()
        for index, name in enumerate(names):
            image, truth = self._drawn(index)
            with io.BytesIO() as file:
                Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
                write_bytes(images / name, file.getbuffer(), synced=False)
            truths.append(truth)
        if format == "voc":
            return write_voc(Path(folder), split, names, truths, self.class_names, decimals=2)
        return write_coco(Path(folder), split, names, truths, self.class_names, fields=self.fields)


class SyntheticAnimals(Synthetic):
    """Random scenes of animals with nine joints: articulated, seen from either side, partly hidden.

    The field ``keypoints`` has the joints of `centernet.data.animals.ANIMAL`: 2 where a joint is seen, 1 where it is
    hidden by others, by things before it or by the animal itself, 0 out of the image. Sample i depends on (`seed`, i)
    alone. Boxes are those of what is visible, areas the pixels of it.

    Args:
        num_images: number of scenes.
        size: (height, width) of the images.
        seed: another seed gives other scenes; training and validation need different ones.
        objects: fewest and most animals of a scene.
        object_size: smallest and largest length of a body, in shorter sides of the image.
        max_hidden: share of an animal, 0..1, that others or the image's edge may hide; of others the box is to ignore.
    """

    def __init__(
        self,
        num_images: int,
        *,
        size: tuple[int, int] = (256, 256),
        seed: int = 0,
        objects: tuple[int, int] = (1, 3),
        object_size: tuple[float, float] = (0.2, 0.45),
        max_hidden: float = 0.6,
    ) -> None:
        style: dict[str, Any] = {"size": size, "objects": objects, "object_size": object_size, "max_hidden": max_hidden}
        super().__init__(num_images, seed=seed, **style)
        self.class_names, self.fields = ("animal",), (keypoint_column(ANIMAL),)

    def _drawn(self, index: int) -> tuple[Pixels, Annotation]:
        self._check(index)
        scenery = random_scenery(np.random.default_rng([self.seed, index]), self.style)
        drawn = draw_scenery(scenery)
        count = len(drawn.boxes)
        ignore, none = drawn.visible < 1 - self.max_hidden, np.full(count, -1)
        labels, data = np.zeros(count, np.int64), {"keypoints": drawn.keypoints}
        truth = Annotation(
            self.path(index), index, *self.style.size, drawn.boxes, labels, none, ignore, drawn.areas, data=data
        )
        sides = drawn.boxes[:, 2:] - drawn.boxes[:, :2]
        return drawn.image, truth.select(np.all(sides >= 1, axis=1))

    def summary(self) -> str:
        """Return what will be drawn."""
        fewest, most = self.style.objects
        return f"{self!r}: scenes of {fewest} to {most} animals with {len(ANIMAL)} joints"


class SyntheticSequences(Synthetic):
    """Random videos of shapes that come and go, meet, hide one another, and pass by or turn back.

    What happens in sequence i depends on (`seed`, i) alone, and frames are drawn when they are asked for. Each object
    keeps its looks, and no two of a sequence have about the same colour, so that they can be told apart after a meeting
    although place and speed do not tell. Identities run from 0 on over all sequences. Boxes are those of whole objects,
    as MOTChallenge has them, cut at the edges of the image; one that is hidden altogether or has left has none.

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
        object_size: smallest and largest diameter, in shorter sides of the image; alike for all objects of a video.
        max_hidden: share of an object, 0..1, that may be hidden; of others the box is to ignore.
        frame_rate: frames per second, as it is told to trackers.
    """

    whole = True

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
        check_option("num_sequences", num_sequences >= 1, "at least 1", num_sequences)
        check_option("length", length >= 1, "at least 1", length)
        check_option("speed", 0 < speed < 1e6, "a number above 0", speed)
        check_option("frame_rate", 0 < frame_rate < 1e6, "a number above 0", frame_rate)
        style: dict[str, Any] = {"size": size, "objects": objects, "object_size": object_size, "max_hidden": max_hidden}
        super().__init__(num_sequences * length, seed=seed, class_names=shapes, **style)
        if one_class:
            self.class_names, self._labels = ("object",), dict.fromkeys(shapes, 0)
        self.length, self.speed = length, speed
        self.sequences = tuple(
            VideoSequence(f"moving_{seed}_{start // length:04d}", start, start + length, frame_rate)
            for start in range(0, len(self), length)
        )
        rngs = [np.random.default_rng([seed, number, 0]) for number in range(num_sequences)]
        self._ends = np.cumsum([0, *(rng.integers(*objects, endpoint=True) for rng in rngs)]).tolist()
        self.num_identities = self._ends[-1]

    def video(self, number: int) -> Sequence[Scene]:
        """Return the frames of sequence `number`, before they are drawn."""
        identities = range(*self._ends[number : number + 2])
        return random_video((self.seed, number, 1), self.style, identities, self.length, self.speed)

    def scene(self, index: int) -> Scene:
        return self.video(index // self.length)[index % self.length]

    def path(self, index: int) -> Path:
        return Path(self.sequences[index // self.length].name, "img1", f"{index % self.length + 1:06d}.png")
