"""Folders and lists of images: their files and sizes, and the judging of the boxes that a parser gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...annotations.problems import DataError, Reports
from ...annotations.rows import BoxRows, RowList, are_usable, describe_fault
from ...images import ImageError, image_size
from ..columns import Columns, Paths

_BLOCK = 1 << 16  # boxes that are judged at once
NO_FILE = "no such file"


class Folder:
    """Finds files of a folder whatever the case of their names, listing each subfolder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str | None:
        """Return the real path, relative to the root, of the file `name`; None if it isn't there or lies outside."""
        path = name.replace("\\", "/").removeprefix("./")
        parts, (folder, _, last) = path.split("/"), path.rpartition("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            return None
        listing = self.listing(folder)
        found = listing.get(last) or listing.get(last.lower())
        return None if found is None else f"{folder}/{found}".lstrip("/")

    def listing(self, subfolder: str = "") -> dict[str, str]:
        """Return the files in a subfolder, by their names and by their names in lower case; empty if there is none."""
        if subfolder not in self._listings:
            try:
                names = sorted(entry.name for entry in (self.root / subfolder).iterdir())
            except (OSError, ValueError):  # no such folder, or a name that no folder can have
                names = []
            lower = {name.lower(): name for name in reversed(names)}
            self._listings[subfolder] = lower | {name: name for name in names}
        return self._listings[subfolder]


def find_image_folder(annotations: Path, given: str | os.PathLike[str] | None, names: Sequence[str]) -> Path:
    """Return the folder of the images of an annotation file: the one given, or one nearby that has one of `names`."""
    if given is not None:
        if not Path(given).is_dir():
            raise DataError(f"{given}: no such folder; `images` is the folder that the images' names are relative to")
        return Path(given)
    split = annotations.stem.rpartition("_")[2]  # instances_train2017.json, annotation_train.odgt
    inside = ("images", "Images", "JPEGImages", "", split, f"images/{split}", f"Images/{split}", f"{split}/Images")
    folders = [root / name for root in (annotations.parent, annotations.parent.parent) for name in inside]
    for folder in folders:
        if any(map(Folder(folder).find, names)):
            return folder
    example = f" such as {names[0]!r}" if names else ""
    tried = ", ".join(map(str, folders))
    raise DataError(f"{annotations}: its images{example} are in none of {tried}; give their folder as `images`")


def root_hint(root: Path, inside: Iterable[Path]) -> str:
    """Say which of the folders inside the root may be the one that was meant."""
    names = sorted({str(path.relative_to(root)) for path in inside})
    return f"give one of its subfolders as the root: {', '.join(names)}" if names else "check `root`"


def rows_asked_for(rows: BoxRows, names: Sequence[str], asked: Sequence[str], source: Path, report: Reports) -> BoxRows:
    """Return the boxes of some of the classes `names`, with new labels; how many others are left out is said."""
    label_of = np.array([asked.index(name) if name in asked else -1 for name in names], dtype=np.int64)
    labels = label_of[rows.labels]
    counts = np.bincount(rows.labels[labels < 0], minlength=len(names)).tolist()
    report.left_out(source, {name: count for name, count in zip(names, counts, strict=True) if count})
    return replace(rows, labels=labels).select(labels >= 0)


class ImageList:
    """The images of a data set, as they are found: their names inside the root, and their (height, width)."""

    def __init__(self, root: Path, report: Reports) -> None:
        self.folder = Folder(root)
        self.report = report
        self.names: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self._clipped = 0

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: str) -> str | None:
        """Return the real name of a file; None after a missing one was reported."""
        found = self.folder.find(name)
        if found is None:
            self.report(self.folder.root / name, "missing-image", f"{missing(name)}; the sample is left out")
        return found

    def add(self, name: str, size_hw: tuple[int, int] | None = None, *, stated: str = "") -> int:
        """Append an image. Returns its index; -1 after an unreadable one was reported.

        Without a size it is read from the image's header; what is `stated` in the place of one is a problem then.
        """
        if size_hw is None:
            path = self.folder.root / name
            try:
                size_hw = image_size(path)
            except ImageError as error:
                text = str(error).removeprefix(f"{path}: ")
                self.report(path, "unreadable-image", f"{text}; the sample is left out")
                return -1
            if stated:
                own = f"the image's own {size_hw[0]}×{size_hw[1]} (height×width) are used"
                self.report(path, "size", f"{stated}; {own}")
        self.names.append(name)
        self.sizes.append(size_hw)
        return len(self.names) - 1

    def findings(self) -> dict[str, Any]:
        """Return what was found on the way: arguments of `DetectionDataset`."""
        return {"problems": self.report.found, "strict": self.report.strict, "clipped": self._clipped}

    def columns(
        self,
        rows: BoxRows | None = None,  # `images` are indices of this list; -1 leaves a box out without a word
        where: Callable[[int], tuple[Path, str]] = lambda row: (Path(), ""),  # its file and place there, for messages
        *,
        image_ids: Sequence[int] | None = None,  # None numbers them from 0
        amodal: bool = False,
        first_pixel: int = 0,  # see `are_usable`; with 1 the last pixel is part of the box
        unreadable: Mapping[int, str] | None = None,  # by the place of a row: why it has no box
    ) -> Columns:
        """Judge all boxes, cut them at the edges of their images, and put them in the order of the images."""
        rows = RowList().rows() if rows is None else rows
        sizes = np.array(self.sizes, dtype=np.int32).reshape(-1, 2)
        order = np.argsort(rows.images, kind="stable")
        order = order[rows.images[order] >= 0]
        blocks = []
        for start in range(0, max(len(order), 1), _BLOCK):  # to need no second copy of everything
            block = rows.select(order[start : start + _BLOCK])
            usable = are_usable(block.boxes, sizes[block.images], first_pixel=first_pixel)
            for place in np.flatnonzero(~usable).tolist():
                kind, fault = describe_fault(block.boxes[place].tolist(), self.sizes[block.images[place]])
                fault = (unreadable or {}).get(int(block.places[place]), fault)
                path, text = where(int(order[start + place]))
                self.report(path, kind, f"{text}: {fault}; the box is left out")
            block = block.select(usable)
            blocks.append(self._cut(block, sizes[block.images], amodal, first_pixel))
        boxes, labels, ids, ignore, areas, difficulty, images = map(np.concatenate, zip(*blocks, strict=True))
        offsets = np.searchsorted(images, np.arange(len(self) + 1))
        numbers = np.arange(len(self)) if image_ids is None else np.array(image_ids, dtype=np.int64)
        paths = Paths.of(self.names, self.folder.root)
        return Columns(boxes, labels, ids, ignore, areas, difficulty, offsets, sizes, numbers, paths)

    def _cut(self, rows: BoxRows, limits: NDArray[np.int32], amodal: bool, first_pixel: int) -> tuple[Any, ...]:
        """The columns of usable boxes, cut at the edges of their images and counted from 0."""
        boxes = rows.boxes - [first_pixel, first_pixel, 0, 0]
        if not amodal:
            whole, boxes = boxes, np.maximum(boxes, 0)
            boxes[:, 2:] = np.minimum(boxes[:, 2:], limits[:, ::-1])
            self._clipped += int((boxes != whole).any(axis=1).sum())
        areas = np.where(np.isnan(rows.areas), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), rows.areas)
        boxes, areas = boxes.astype(np.float32), areas.astype(np.float32)
        return boxes, rows.labels, rows.ids, rows.ignore, areas, rows.difficulty, rows.images


def missing(name: str) -> str:
    """Say why there is no file of this name."""
    climbs = ".." in Path(name).parts or Path(name).is_absolute()
    return "the name leads out of the folder of the data set, which is refused" if climbs else NO_FILE
