"""Folders and lists of images: their files and sizes, and the judging of the boxes that a parser gives."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from ...annotations.problems import DataError, Reports
from ...annotations.rows import SLIVER, BoxRows, RowList, are_usable, describe_fault
from ...images import ImageError, image_size, walk_images
from ..columns import Columns, Paths

_BLOCK = 1 << 16  # boxes that are judged at once
NO_FILE = "no such file"
SPLIT_WORDS: Mapping[str, frozenset[str]] = {
    "train": frozenset({"train", "training"}),
    "val": frozenset({"val", "valid", "validation", "dev"}),
    "test": frozenset({"test", "testing"}),
}
"""Words in the names of files and folders, in lower case, that say which split they are of."""
_INNER = (
    *("train", "training", "val", "valid", "validation", "dev", "test", "testing", "trainval", "default"),
    *("annotations", "annotation", "labels", "data", "csv"),
)


class Folder:
    """Finds files of a folder whatever the case of their names, listing each subfolder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[str, dict[str, str]] = {}
        self._by_base_name: dict[str, list[str]] | None = None

    def find(self, name: str) -> str | None:
        """Return the real path, relative to the root, of the file `name`; None if it isn't there or lies outside."""
        path = name.replace("\\", "/").removeprefix("./")
        parts, (folder, _, last) = path.split("/"), path.rpartition("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            return None
        listing = self.listing(folder)
        found = listing.get(last) or listing.get(last.lower())
        return None if found is None else f"{folder}/{found}".lstrip("/")

    def find_near(self, name: str) -> list[str]:
        """Return the images that a name may mean which is no path inside the root: those with the longest end of it.

        An end is some last parts of the name, at least its base name: of ``../media/upload/4/a.jpg`` or
        ``https://host/upload/4/a.jpg`` the file ``upload/4/a.jpg``, else ``4/a.jpg``, else ``a.jpg``, in the root or,
        if it is not there, in any folder inside.
        """
        parts = _inner_parts(name)
        for start in range(len(parts)):
            if (found := self.find("/".join(parts[start:]))) is not None and (self.root / found).is_file():
                return [found]
        if self._by_base_name is None:
            self._by_base_name = {}
            for path in walk_images(self.root):
                inside = path.relative_to(self.root).as_posix()
                self._by_base_name.setdefault(path.name.lower(), []).append(inside)
        same = self._by_base_name.get(parts[-1].lower(), []) if parts else []
        alike = [_common_end(path.split("/"), parts) for path in same]
        return [path for path, length in zip(same, alike, strict=True) if length == max(alike)]

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


def _inner_parts(name: str) -> list[str]:
    """The parts of a name that may be those of a file here: without scheme, host, query, drive and ``..``."""
    text = "" if "\0" in name else name
    if "://" in text or text.startswith("/data/"):  # an address, perhaps one of Label Studio's own
        text = text.partition("://")[2] or text
        path, _, query = text.partition("?")
        inner = [value for key, _, value in (pair.partition("=") for pair in query.split("&")) if key == "d"]
        text = unquote(inner[0] if inner else path)
    parts = text.replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".", "..") and not part.endswith(":")]


def _common_end(first: Sequence[str], second: Sequence[str]) -> int:
    """The number of last parts that two paths share, whatever their case."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a.lower() != b.lower()), min(len(first), len(second)))


def find_image_folder(annotations: Path, given: str | os.PathLike[str] | None, names: Sequence[str]) -> Path:
    """Return the folder of the images of an annotation file: the one given, or that nearby with most of `names`.

    Raises:
        DataError: the folder isn't there, or none has one.
    """
    if given is not None:
        if not Path(given).is_dir():
            raise DataError(f"{given}: no such folder; `images` (--images) is what the images' names are relative to")
        return Path(given)
    beside = annotations if annotations.is_dir() else annotations.parent
    split = annotations.stem.rpartition("_")[2]  # instances_train2017.json, annotation_train.odgt
    inside = ("images", "Images", "JPEGImages", "", split, f"images/{split}", f"Images/{split}", f"{split}/Images")
    folders = [root / name for root in (beside, beside.parent) for name in inside]
    folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    own = [beside, beside.parent] if beside.name.lower().startswith(_OF_ANNOTATIONS) else [beside]
    near = [folder for folder in folders if folder in own or folder.parent in own]  # not in a data set beside this one
    for rule, places in ((_are_there, folders), (_are_there_by_their_ends, near)):
        counts = [rule(Folder(folder), names) for folder in places]
        if any(counts):
            return places[counts.index(max(counts))]
    for folder in own:
        best = _anywhere_in(Folder(folder), names)
        best = [place for place in best if split in place.relative_to(folder).parts] or best
        if len(best) > 1:
            text = f"images of the names in it, such as {names[0]!r}, are in {' and in '.join(map(str, best[:4]))}"
            raise DataError(f"{annotations}: {text}; say which it is as `images` (--images)")
        if best:
            return best[0]
    example = f" such as {names[0]!r}" if names else ""
    tried = ", ".join(map(str, folders))
    text = f"its images{example} are in none of {tried}, nor in a folder inside {beside}"
    raise DataError(f"{annotations}: {text}; give their folder as `images` (--images)")


_OF_ANNOTATIONS = ("annotation", "label", "ann")


def _are_there(folder: Folder, names: Sequence[str]) -> int:
    return sum(folder.find(name) is not None for name in names)


def _are_there_by_their_ends(folder: Folder, names: Sequence[str]) -> int:
    ends = [["/".join(parts[start:]) for start in range(len(parts))] for parts in map(_inner_parts, names)]
    return sum(any(folder.find(end) is not None for end in some) for some in ends)


def _anywhere_in(folder: Folder, names: Sequence[str]) -> list[Path]:
    """The folders inside a folder, however deep, that most names are relative to."""
    roots: Counter[Path] = Counter()
    for name in names:
        for found in folder.find_near(name):
            path, parts = found.split("/"), _inner_parts(name)
            roots[folder.root.joinpath(*path[: len(path) - _common_end(path, parts)])] += 1
    return [root for root, count in roots.items() if count == max(roots.values())]


def inner_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder whose names are those of splits, or usual ones for annotations."""
    return sorted(child for child in folder.iterdir() if child.name.lower() in _INNER and child.is_dir())


def files_near(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the files of a folder and of its `inner_folders` that fit one of the patterns."""
    found = (sorted(place.glob(pattern)) for place in (folder, *inner_folders(folder)) for pattern in patterns)
    return [file for files in found for file in files if file.is_file()]


def root_hint(root: Path, inside: Iterable[Path]) -> str:
    """Say which of the folders inside the root may be the one that was meant."""
    names = sorted({str(path.relative_to(root)) for path in inside})
    return f"give one of its subfolders as the root: {', '.join(names)}" if names else "check `root`"


def rows_asked_for(rows: BoxRows, names: Sequence[str], asked: Sequence[str], source: Path, report: Reports) -> BoxRows:
    """Return the boxes of some of the classes `names`, with new labels; how many others are left out is said."""
    new = {name: label for label, name in enumerate(asked)}
    label_of = np.array([new.get(name, -1) for name in names], dtype=np.int64)
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
        self._near: dict[str, str] = {}  # file by the name that was meant to be it
        self._taken: dict[str, str] = {}  # and the other way round
        self._added: set[str] | None = None  # `names`, once that is asked for

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: str, where: str = "") -> str | None:
        """Return the real name of a file, relative to the root; None after a missing one was reported.

        A name that is no path in the root stands for the one image that ends like it (`Folder.find_near`). `where` it
        is stated begins the report.
        """
        path = self.folder.root / name
        if (found := self.folder.find(name)) is not None:
            if found in self._taken:
                text = f"it was taken for {self._taken[found]!r} as well, a name that ends like it"
                self.report(path, "duplicate", f"{text}; put that name right")
            return found
        if name in self._near:
            return self._near[name]
        near = self.folder.find_near(name)
        if len(near) == 1 and near[0] not in self._taken and near[0] not in self._added_names():
            self._near[name] = near[0]
            self._taken[near[0]] = name
            return near[0]
        text = missing(name)
        if len(near) > 1:
            text += f", and {len(near)} files end like the name: {', '.join(near[:3])}"
        elif near:
            text += f", and the file that ends like it, {near[0]}, is another image's"
        self.report(path, "missing-image", f"{where}{text}; the sample is left out")
        return None

    def _added_names(self) -> set[str]:
        if self._added is None:
            self._added = set(self.names)
        return self._added

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
        if self._added is not None:
            self._added.add(name)
        self.sizes.append(size_hw)
        return len(self.names) - 1

    def findings(self) -> dict[str, Any]:
        """Return what was found on the way: arguments of `DetectionDataset`."""
        if self._near:
            name, file = next(iter(self._near.items()))
            out = sum(missing(name) != NO_FILE for name in self._near)
            count = len(self._near)
            text = "1 name of an image is no path" if count == 1 else f"{count} names of images are no paths"
            text += f" in {self.folder.root}"
            text += f", {out} of them lead out of it" if out else ""
            text += f"; the images that end like them are used, the first: {file} for {name!r}"
            self.report(self.folder.root, "image-name", text)
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
        rounding: NDArray[np.float64] | float = SLIVER,  # pixels that rounding moves an edge by, or N×2 of them, x y
    ) -> Columns:
        """Judge all boxes, cut them at the edges of their images, and put them in the order of the images.

        Boxes that reach over an edge by no more than `rounding` are cut, but do not count as such.
        """
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
            steps = np.broadcast_to(rounding, (len(rows), 2))[order[start : start + _BLOCK]][usable]
            blocks.append(self._cut(block, sizes[block.images], amodal, first_pixel, steps))
        boxes, labels, ids, ignore, areas, difficulty, images = map(
            np.concatenate, zip(*(block[:-1] for block in blocks), strict=True)
        )
        data = {name: np.concatenate([block[-1][name] for block in blocks]) for name in rows.data}
        offsets = np.searchsorted(images, np.arange(len(self) + 1))
        numbers = np.arange(len(self)) if image_ids is None else np.array(image_ids, dtype=np.int64)
        paths = Paths.of(self.names, self.folder.root)
        return Columns(boxes, labels, ids, ignore, areas, difficulty, offsets, sizes, numbers, paths, data)

    def _cut(
        self, rows: BoxRows, limits: NDArray[np.int32], amodal: bool, first_pixel: int, rounding: NDArray[np.float64]
    ) -> tuple[Any, ...]:
        """The columns of usable boxes, cut at the edges of their images and counted from 0."""
        boxes = rows.boxes - [first_pixel, first_pixel, 0, 0]
        if not amodal:
            whole, boxes = boxes, np.maximum(boxes, 0)
            boxes[:, 2:] = np.minimum(boxes[:, 2:], limits[:, ::-1])
            self._clipped += int((np.abs(boxes - whole) > np.tile(rounding, 2)).any(axis=1).sum())
        areas = np.where(np.isnan(rows.areas), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), rows.areas)
        boxes, areas = boxes.astype(np.float32), areas.astype(np.float32)
        return boxes, rows.labels, rows.ids, rows.ignore, areas, rows.difficulty, rows.images, rows.data


def missing(name: str) -> str:
    """Say why there is no file of this name."""
    parts = name.replace("\\", "/").split("/")
    climbs = ".." in parts or parts[0] == "" or ":" in parts[0]
    return "the name leads out of the folder of the data set, which is refused" if climbs else NO_FILE
