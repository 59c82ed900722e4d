"""Images with boxes, as parsers find them one by one: the common form of formats that say everything themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..skeleton import Skeleton
from .rows import BoxRows, RowList

Pose = Mapping[str, tuple[float, float, float]]
"""x, y, visibility of keypoints by their names."""


class ListedVideo(NamedTuple):
    """A video among the images: ``start`` to ``stop - 1``, in the order of time, at frames per second."""

    name: str
    start: int
    stop: int
    frame_rate: float


@dataclass
class ListedImages:
    """The contents of one or many files of annotations.

    Labels are numbers of `class_names`, `images` of the rows those of `names`, and `places` what `unit` counts in the
    image's file.
    """

    unit: str  # for messages: "line", "object"
    class_names: list[str] = field(default_factory=list)
    declared: bool = False  # the files list their classes in an order; else it is alphabetical
    names: list[str] = field(default_factory=list)  # of the images, as they are written; "": left out, which was said
    sizes: list[tuple[int, int] | None] = field(default_factory=list)  # (height, width)
    files: list[Path] = field(default_factory=list)  # the file that each image's boxes are from
    videos: list[ListedVideo] = field(default_factory=list)
    normalised: bool = False  # boxes are shares of the width and height of their images
    rows: RowList = field(default_factory=RowList)
    skeleton: Skeleton | None = None  # of the keypoints that rows have
    poses: dict[int, Pose] = field(default_factory=dict)  # by row
    _images: dict[str, int] = field(default_factory=dict)
    _labels: dict[str, int] = field(default_factory=dict)

    def declare(self, class_names: Sequence[str]) -> None:
        """Add classes that a file lists, whether or not they have boxes."""
        self.declared = True
        for name in class_names:
            self.label(name)

    def label(self, name: str) -> int:
        """Return the number of a class; a new one is added."""
        if name not in self._labels:
            self._labels[name] = len(self.class_names)
            self.class_names.append(name)
        return self._labels[name]

    def image(self, name: str, file: Path, size_hw: tuple[int, int] | None = None) -> int:
        """Return the number of an image; a new one is added."""
        if name not in self._images:
            self._images[name] = len(self.names)
            self.names.append(name)
            self.sizes.append(size_hw)
            self.files.append(file)
        return self._images[name]

    def add(
        self,
        image: int,
        place: int,
        box: Sequence[float],
        class_name: str,
        *,
        ignore: bool = False,
        identity: int = -1,
        area: float = math.nan,
        pose: Pose | None = None,
    ) -> None:
        """Append a box, x1 y1 x2 y2 in pixels counted from 0; one that cannot be used is reported later."""
        if pose:
            self.poses[len(self.rows)] = pose
        self.rows.add(image, place, box, self.label(class_name), ignore=ignore, identity=identity, area=area)

    def box_rows(self) -> BoxRows:
        """Return all boxes, with their keypoints where there is a skeleton."""
        rows = self.rows.rows()
        if self.skeleton is None:
            return rows
        points = np.zeros((len(rows), len(self.skeleton), 3), np.float32)
        places = {name: place for place, name in enumerate(self.skeleton.names)}
        for row, pose in self.poses.items():
            for name, values in pose.items():
                if name in places:
                    points[row, places[name]] = values
        return replace(rows, data={"keypoints": points})
