"""From files to columns: finding files, sizes of images, judging the boxes that a parser gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...annotations.problems import DataError, Reports
from ...annotations.rows import BoxRows, are_usable, describe_fault
from ...images import ImageError, image_size
from ..columns import Columns, Paths

if TYPE_CHECKING:
    from numpy.typing import NDArray


_BLOCK = 1 << 16  # boxes that are judged at once


class Folder:
    """Finds files of a folder whatever the case of their names, listing each subfolder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str | None:
        """Return the real path, relative to the root, of the file `name`; None if it isn't there or lies outside."""
        parts = name.replace("\\", "/").removeprefix("./").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            return None
        folder, last = "/".join(parts[:-1]), parts[-1]
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


def leads_out(name: str) -> bool:
    """Return True for a name that leads out of its folder."""
    return ".." in Path(name).parts or Path(name).is_absolute()


def find_image_folder(
    given: Path | None, candidates: Sequence[Path], names: Sequence[str], *, meaning: str, source: Path
) -> Path:
    """Return the folder of the images: the one given, or the first that has one of them.

    Args:
        given: by the user; None looks.
        candidates: where to look.
        names: of some images.
        meaning: what the folder is, for the message.
        source: the file that names the images.

    Raises:
        DataError: the folder isn't there, or the images are in none.
    """
    if given is not None:
        if not given.is_dir():
            raise DataError(f"{given}: no such folder; `images` is {meaning}")
        return given
    for folder in candidates:
        finder = Folder(folder)
        if any(finder.find(name) for name in names):
            return folder
    tried = ", ".join(map(str, candidates))
    example = f" such as {names[0]!r}" if names else ""
    raise DataError(f"{source}: its images{example} are in none of {tried}; give their folder as `images`")


def header_size(path: Path, stated: str, report: Reports) -> tuple[int, int] | None:
    """Return the (height, width) in an image's own header, in place of a size that the annotation doesn't have.

    Args:
        path: of the image.
        stated: what the annotation says, for the message.
        report: where the problem goes; None is returned after an unreadable image was reported.
    """
    size = own_size(path, report)
    if size is not None:
        report(path, "size", f"{stated}; the image's own {size[0]}×{size[1]} (height×width) are used")
    return size


def own_size(path: Path, report: Reports) -> tuple[int, int] | None:
    """Return the (height, width) in an image's header; None after an unreadable image was reported."""
    try:
        return image_size(path)
    except ImageError as error:
        report(path, "unreadable-image", f"{str(error).removeprefix(f'{path}: ')}; the sample is left out")
        return None


@dataclass
class ImageList:
    """The images of a data set, as they are found.

    Attributes:
        root: the folder that the names are relative to.
        names: of the files.
        sizes: (height, width) of each.
        clipped: boxes that reached over the edges of their images and were cut there.
    """

    root: Path
    names: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    clipped: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def add(self, name: str, size_hw: tuple[int, int]) -> int:
        """Append an image. Returns its index."""
        self.names.append(name)
        self.sizes.append(size_hw)
        return len(self.names) - 1

    def columns(
        self,
        rows: BoxRows,
        where: Callable[[int], tuple[Path, str]],
        report: Reports,
        *,
        image_ids: Sequence[int] | None = None,
        amodal: bool = False,
        first_pixel: int = 0,
    ) -> Columns:
        """Judge all boxes, cut them at the edges of their images, and put them in the order of the images.

        Args:
            rows: `images` are indices of this list; -1 leaves a box out without a word.
            where: from a row of `rows` to its file and its place there, for messages.
            report: where boxes go that cannot be used.
            image_ids: one for each image; None numbers them from 0.
            amodal: boxes that reach over the edges are kept whole.
            first_pixel: the number of the first pixel in `rows`; with 1 the last pixel is part of the box.
        """
        sizes = np.array(self.sizes, dtype=np.int32).reshape(-1, 2)
        order = np.argsort(rows.images, kind="stable")
        order = order[rows.images[order] >= 0]
        blocks = []
        for start in range(0, max(len(order), 1), _BLOCK):  # to need no second copy of everything
            block = rows.select(order[start : start + _BLOCK])
            limits = sizes[block.images]
            usable = are_usable(block.boxes, limits, first_pixel=first_pixel)
            for place in np.flatnonzero(~usable).tolist():
                path, text = where(int(order[start + place]))
                kind, fault = describe_fault(block.boxes[place].tolist(), self.sizes[block.images[place]])
                report(path, kind, f"{text}: {fault}; the box is left out")
            blocks.append(self._cut(block.select(usable), limits[usable], amodal, first_pixel))
        images, boxes, labels, ids, ignore, areas, difficulty = map(np.concatenate, zip(*blocks, strict=True))
        return Columns(
            boxes=boxes,
            labels=labels,
            ids=ids,
            ignore=ignore,
            areas=areas,
            difficulty=difficulty,
            offsets=np.searchsorted(images, np.arange(len(self) + 1)),
            sizes=sizes,
            image_ids=np.arange(len(self)) if image_ids is None else np.array(image_ids, dtype=np.int64),
            paths=Paths.of(self.names, self.root),
        )

    def _cut(self, rows: BoxRows, limits: NDArray[np.int32], amodal: bool, first_pixel: int) -> tuple[Any, ...]:
        """The columns of usable boxes, cut at the edges of their images and counted from 0."""
        boxes = rows.boxes.copy()
        boxes[:, :2] -= first_pixel
        if not amodal:
            whole, boxes = boxes, np.maximum(boxes, 0)
            boxes[:, 2:] = np.minimum(boxes[:, 2:], limits[:, ::-1])
            self.clipped += int((boxes != whole).any(axis=1).sum())
        areas = np.where(np.isnan(rows.areas), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), rows.areas)
        areas, boxes = areas.astype(np.float32), boxes.astype(np.float32)
        return rows.images, boxes, rows.labels, rows.ids, rows.ignore, areas, rows.difficulty
