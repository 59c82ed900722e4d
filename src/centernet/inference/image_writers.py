"""Writers of files for each image: drawings, cut-out objects, label files of YOLO, KITTI, VOC and LabelMe."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from centernet.annotations import labelme, voc
from centernet.annotations.keypoints import found_poses
from centernet.annotations.kitti import label_text
from centernet.annotations.yolo import label_rows
from centernet.birds_eye import birds_eye
from centernet.detections import Detections
from centernet.drawing import Trails, draw
from centernet.images import IMAGE_SUFFIXES
from centernet.inference.guard import Inputs
from centernet.inference.sources import Frame
from centernet.inference.writers import counted
from centernet.text import shown
from centernet.whole import clear_parts, explaining, write_bytes, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

JPEG_SIDE = 65_500
"""The longest side of a JPEG, in pixels; longer images are written as PNG."""


class _FolderWriter:
    """Writes files named as the images are.

    Images of equal names (from different folders, or with different suffixes) get the name of their folder in front,
    their own suffix behind, or a number. A file under its name is always whole.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._used: set[str] = set()
        self._count = 0
        self._inputs = Inputs()

    def protect(self, inputs: Inputs) -> None:
        """Raise a ValueError where the inputs are in the folder; when it is written, where a file is one of them."""
        inputs.check_folder(self.folder)
        self._inputs = inputs

    def __enter__(self) -> Self:
        with explaining(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        clear_parts(self.folder)
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def _free_name(self, frame: Frame) -> str:
        Inputs([frame.path]).check_folder(self.folder)  # else the next run reads both
        name = PurePath(frame.name)
        stem = name.stem if frame.is_file or name.suffix.lower() in IMAGE_SUFFIXES else name.name
        candidates = [stem, f"{name.parent.name}_{stem}"] if name.parent.name else [stem]
        if name.suffix and stem == name.stem:
            candidates.append(f"{stem}_{name.suffix[1:]}")
        numbered = (f"{stem}_{number}" for number in count(2))
        free = next(text for text in chain(candidates, numbered) if text.casefold() not in self._used)
        self._used.add(free.casefold())  # some file systems don't tell A from a
        return free

    def _is_there(self, frame: Frame, path: Path) -> bool:
        """Return True for a file that an earlier run has written, which this one goes on with; it is counted."""
        there = frame.is_done and path.is_file()
        self._count += there
        return there

    def _list_classes(self, name: str, class_names: Sequence[str]) -> None:
        """Write the names of classes, where some are known, a line each."""
        if class_names:
            path = self.folder / name
            self._inputs.check(path)
            write_text(path, "".join(f"{shown(text)}\n" for text in class_names), errors="backslashreplace")

    def _save(self, path: Path, data: bytes) -> None:
        """Write a file in one step."""
        self._inputs.check(path)
        write_bytes(path, data, synced=False)
        self._count += 1


class ImageWriter(_FolderWriter):
    """Writes JPEGs of the images with their boxes drawn, and trails of identities, named as the images are.

    Images of equal names (from different folders, or with different suffixes) get the name of their folder in front,
    their own suffix behind, or a number. Images that are too long for a JPEG become PNGs.

    Args:
        folder: made if missing. It must not hold the images themselves.
        quality: of the JPEGs, 1..100.
        drawing: options of `centernet.drawing.draw`.
    """

    def __init__(self, folder: str | os.PathLike[str], *, quality: int = 92, **drawing: Any) -> None:
        super().__init__(folder)
        self.quality, self.drawing = quality, drawing
        self._trails = Trails()
        self._long = 0

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw and save a frame; a ValueError where the image is in this folder, and might be overwritten."""
        name, suffix = self._free_name(frame), _suffix(frame.size_hw)
        path = self.folder / f"{name}{suffix}"
        self._long += suffix == ".png"
        if not self._is_there(frame, path):
            drawn = draw(self._trails.draw(frame.image, detections), detections, **self.drawing)
            self._save(path, _encoded(drawn, self.quality))

    def summary(self) -> str:
        long = f", {self._long} of them as PNG: longer than the {JPEG_SIDE} pixels of a JPEG" if self._long else ""
        return f"{self.folder} ({counted(self._count, 'image')}{long})"


class BirdsEyeWriter(_FolderWriter):
    """Writes JPEGs of the boxes in space seen from above, named as the images are.

    Args:
        folder: made if missing.
        quality: of the JPEGs, 1..100.
        drawing: options of `centernet.birds_eye.birds_eye`.
    """

    def __init__(self, folder: str | os.PathLike[str], *, quality: int = 92, **drawing: Any) -> None:
        super().__init__(folder)
        self.quality, self.drawing = quality, drawing

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw and save the objects of a frame; a ValueError where they have no boxes in space."""
        self._save(
            self.folder / f"{self._free_name(frame)}.jpg", _encoded(birds_eye(detections, **self.drawing), self.quality)
        )

    def summary(self) -> str:
        return f"{self.folder} ({counted(self._count, 'image')})"


class CropWriter(_FolderWriter):
    """Writes each object as an image of its own, in a folder for each class.

    A file is named as its image is, and numbered from 1 by the order of the detections, or by the track id.

    Args:
        folder: made if missing.
        quality: of the JPEGs, 1..100.
    """

    def __init__(self, folder: str | os.PathLike[str], *, quality: int = 92) -> None:
        super().__init__(folder)
        self.quality = quality

    def __enter__(self) -> Self:
        super().__enter__()
        for folder in self.folder.iterdir():  # of the classes
            if folder.is_dir():
                clear_parts(folder)
        return self

    def write(self, frame: Frame, detections: Detections) -> None:
        """Cut out and save the objects of a frame; those that lie outside of it are left out."""
        name = self._free_name(frame)
        pixels = np.broadcast_to(np.uint8(0), (*frame.size_hw, 3)) if frame.is_done else frame.image
        for number, (one, image) in enumerate(zip(detections, detections.crop(pixels), strict=True), start=1):
            if image.size:
                file = f"{name}_{number if one.track_id is None else one.track_id}{_suffix(image.shape[:2])}"
                path = self.folder / _folder_name(one.name) / file
                if not self._is_there(frame, path):
                    whole = detections[number - 1].crop(frame.image)[0] if frame.is_done else image
                    self._save(path, _encoded(whole, self.quality))

    def summary(self) -> str:
        return f"{self.folder} ({counted(self._count, 'object')})"


class YoloWriter(_FolderWriter):
    """Writes YOLO's label files: class, centre x, centre y, width and height in shares of the image, a row an object.

    The names of the classes are in `classes.txt`, where labelling programs look for them. An image in which nothing was
    found has an empty file.

    Args:
        folder: made if missing.
        class_names: by label.
        with_scores: rows end in the score, as `centernet evaluate` reads them; label files for training have none.
    """

    def __init__(
        self, folder: str | os.PathLike[str], class_names: Sequence[str] = (), *, with_scores: bool = False
    ) -> None:
        super().__init__(folder)
        self.class_names, self.with_scores = tuple(class_names), with_scores
        self._used.add("classes")

    def __enter__(self) -> Self:
        super().__enter__()
        self._list_classes("classes.txt", self.class_names)
        return self

    def write(self, frame: Frame, detections: Detections) -> None:
        """Write the file of a frame."""
        scores = detections.scores if self.with_scores else None
        text = label_rows(detections.bboxes, detections.labels, frame.size_hw, scores)
        self._save(self.folder / f"{self._free_name(frame)}.txt", text.encode())

    def summary(self) -> str:
        return f"{self.folder} ({counted(self._count, 'file')})"


class KittiWriter(_FolderWriter):
    """Writes KITTI's result files, a file an image: class, box and score, and the box in space where there is one.

    Args:
        folder: made if missing.
    """

    def write(self, frame: Frame, detections: Detections) -> None:
        """Write the file of a frame."""
        self._save(
            self.folder / f"{self._free_name(frame)}.txt", label_text(detections).encode("utf-8", "backslashreplace")
        )

    def summary(self) -> str:
        return f"{self.folder} ({counted(self._count, 'file')})"


class VocWriter(_FolderWriter):
    """Writes Pascal VOC's XML, a file an image; its corners are whole pixels counted from 1.

    Args:
        folder: made if missing.
    """

    def write(self, frame: Frame, detections: Detections) -> None:
        """Write the file of a frame."""
        objects = ((one.bbox.tolist(), one.name, False) for one in detections)
        text = voc.annotation_text(frame.name, frame.size_hw, objects)
        self._save(self.folder / f"{self._free_name(frame)}.xml", text.encode("utf-8", "backslashreplace"))

    def summary(self) -> str:
        return f"{self.folder} ({counted(self._count, 'file')})"


class LabelmeWriter(_FolderWriter):
    """Writes LabelMe's JSON, a file an image, with the path from the file to the image; `labels.txt` has the classes.

    ``labelme IMAGES --output FOLDER --labels FOLDER/labels.txt`` shows the boxes. Keypoints of a score of at least .1
    are points of the group of their box. Frames of a video are named ``NAME.jpg``, as if they lay beside the file.

    Args:
        folder: made if missing.
        class_names: by label.
    """

    def __init__(self, folder: str | os.PathLike[str], class_names: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self.class_names = tuple(class_names)

    def __enter__(self) -> Self:
        super().__enter__()
        self._list_classes("labels.txt", self.class_names)
        return self

    def write(self, frame: Frame, detections: Detections) -> None:
        """Write the file of a frame."""
        image = f"{frame.name}.jpg" if frame.path is None or not frame.is_file else self._way_to(frame.path)
        poses = found_poses(detections)[1]
        objects = ((one.bbox.tolist(), one.name, one.score, pose) for one, pose in zip(detections, poses, strict=True))
        text = labelme.annotation_text(image, frame.size_hw, objects)
        self._save(self.folder / f"{self._free_name(frame)}.json", text.encode("utf-8", "backslashreplace"))

    def _way_to(self, path: Path) -> str:
        """Return the path of an image relative to the folder, with forward slashes."""
        there = Path(os.path.realpath(path.parent), path.name)  # an image may be a link itself
        try:
            return Path(os.path.relpath(there, os.path.realpath(self.folder))).as_posix()
        except ValueError:  # another drive
            return there.as_posix()

    def summary(self) -> str:
        return f"{self.folder} ({counted(self._count, 'file')})"


def _suffix(size_hw: Sequence[int]) -> str:
    """Return the suffix of the file of an image of this size: a JPEG where that can be."""
    return ".jpg" if max(size_hw) <= JPEG_SIDE else ".png"


def _encoded(image: NDArray[np.uint8], quality: int) -> bytes:
    """Return the contents of an image file."""
    suffix = _suffix(image.shape[:2])
    ok, data = cv2.imencode(suffix, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])
    if not ok:
        raise ValueError(f"an image of {image.shape[1]}×{image.shape[0]} cannot be saved as {suffix[1:].upper()}")
    return data.tobytes()


def _folder_name(class_name: str) -> str:
    """Return a class name as the name of a folder on every system."""
    return re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", class_name).strip(". ") or "_"
