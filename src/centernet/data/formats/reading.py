"""What the readers of file formats share: collecting rows and problems, finding files, judging boxes and names."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...annotations.problems import Reports, UnknownKeys, check_class_names, describe_problems, with_nearest
from ...images import ImageError, image_size
from ..columns import Columns, Paths

__all__ = ["Reports", "UnknownKeys", "check_class_names", "describe_problems", "with_nearest"]


@dataclass
class Rows:
    """What a reader appends to while it goes through its files: compact, so that a million pictures fit.

    Attributes:
        amodal: boxes that reach over the edge of their picture are kept whole instead of being cut there.
        clipped: boxes that reached over the edge of their picture and were cut there.
    """

    amodal: bool = False
    names: list[bytes] = field(default_factory=list)
    image_ids: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("i"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    boxes: array[float] = field(default_factory=lambda: array("f"))
    labels: array[int] = field(default_factory=lambda: array("q"))
    ids: array[int] = field(default_factory=lambda: array("q"))
    ignore: array[int] = field(default_factory=lambda: array("b"))
    areas: array[float] = field(default_factory=lambda: array("f"))
    clipped: int = 0

    def add_box(
        self,
        box: tuple[float, float, float, float],
        size_hw: tuple[int, int],
        *,
        label: int,
        ignore: bool = False,
        identity: int = -1,
        area: float | None = None,
    ) -> None:
        """A box of the picture that `add_image` adds next, cut at its edges; `judge_box` comes before."""
        if not self.amodal:
            height, width = size_hw
            x1, y1, x2, y2 = box
            box = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
            self.clipped += box != (x1, y1, x2, y2)
        self.boxes.extend(box)
        self.labels.append(label)
        self.ids.append(identity)
        self.ignore.append(ignore)
        self.areas.append((box[2] - box[0]) * (box[3] - box[1]) if area is None else area)

    def add_image(self, name: str, image_id: int, size_hw: tuple[int, int]) -> None:
        """Close a picture: its path inside the root, its number, its (height, width)."""
        self.names.append(name.encode("utf-8", "surrogateescape"))
        self.image_ids.append(image_id)
        self.sizes.extend(size_hw)
        self.ends.append(len(self.labels))

    def columns(self, root: Path) -> Columns:
        names = b"".join(self.names)
        return Columns(
            boxes=np.array(self.boxes, dtype=np.float32).reshape(-1, 4),
            labels=np.array(self.labels, dtype=np.int64),
            ids=np.array(self.ids, dtype=np.int64),
            ignore=np.array(self.ignore, dtype=np.bool_),
            areas=np.array(self.areas, dtype=np.float32),
            offsets=np.concatenate([[0], np.array(self.ends, dtype=np.int64)]),
            sizes=np.array(self.sizes, dtype=np.int32).reshape(-1, 2),
            image_ids=np.array(self.image_ids, dtype=np.int64),
            paths=Paths(root, names, np.cumsum([0, *map(len, self.names)], dtype=np.int64)),
        )


class Folder:
    """Finds files of a folder whatever the case of their names, listing each subfolder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str | None:
        """The real path, relative to the root, of the file `name`; None if there is none or it would lie outside."""
        parts = name.replace("\\", "/").removeprefix("./").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            return None
        folder, last = "/".join(parts[:-1]), parts[-1]
        listing = self.listing(folder)
        found = listing.get(last) or listing.get(last.lower())
        return None if found is None else f"{folder}/{found}".lstrip("/")

    def listing(self, subfolder: str = "") -> dict[str, str]:
        """Names of the files in a subfolder, by themselves and by themselves in lower case; empty if there is none."""
        if subfolder not in self._listings:
            try:
                names = sorted(entry.name for entry in (self.root / subfolder).iterdir())
            except (OSError, ValueError):  # no such folder, or a name that no folder can have
                names = []
            lower = {name.lower(): name for name in reversed(names)}
            self._listings[subfolder] = lower | {name: name for name in names}
        return self._listings[subfolder]


def judge_box(box: Sequence[float], size_hw: tuple[int, int], *, first_pixel: int = 0) -> tuple[str, str] | None:
    """What is wrong with a box as a file states it: the kind of problem and its description; None for a good one.

    Args:
        box: x1 y1 x2 y2 in the file's own numbers.
        size_hw: of the picture.
        first_pixel: the number of the first pixel. With 1 (inclusive pixels, as VOC has them) a box from a pixel to the
            same pixel still has no area: that is how labelling tools write a slip of the mouse.
    """
    x1, y1, x2, y2 = box
    height, width = size_hw
    last_x, last_y = width + first_pixel - SLIVER, height + first_pixel - SLIVER
    if first_pixel + SLIVER <= x1 + SLIVER <= x2 <= last_x and first_pixel + SLIVER <= y1 + SLIVER <= y2 <= last_y:
        return None  # as nearly all are
    numbers = f"[{x1:g}, {y1:g}, {x2:g}, {y2:g}] (x1 y1 x2 y2)"
    if not all(map(math.isfinite, box)):
        return "bad-box", f"the box {numbers} is not four finite numbers"
    if x2 < x1 or y2 < y1:
        return "inverted-box", f"the box {numbers} is inverted"
    if x2 - x1 < SLIVER or y2 - y1 < SLIVER:
        return "empty-box", f"the box {numbers} has no area"
    x1, y1 = x1 - first_pixel, y1 - first_pixel
    if min(x2, width) - max(x1, 0) < SLIVER or min(y2, height) - max(y1, 0) < SLIVER:
        return "outside-box", f"the box {numbers} lies outside its picture of {height}×{width} pixels (height×width)"
    return None


SLIVER = 0.01
"""Sides below this many pixels count as none: float32 could not hold them at the far edge of a big picture."""


def header_size(path: Path, stated: str, report: Reports) -> tuple[int, int] | None:
    """The (height, width) in a picture's own header, in place of a size that the annotation doesn't have.

    Args:
        path: of the picture.
        stated: what the annotation says, for the message.
        report: where the problem goes; None is returned after an unreadable picture was reported.
    """
    size = own_size(path, report)
    if size is not None:
        report(path, "size", f"{stated}; the picture's own {size[0]}×{size[1]} (height×width) are used")
    return size


def own_size(path: Path, report: Reports) -> tuple[int, int] | None:
    """The (height, width) in a picture's header; None after an unreadable picture was reported."""
    try:
        return image_size(path)
    except ImageError as error:
        report(path, "unreadable-image", f"{str(error).removeprefix(f'{path}: ')}; the sample is left out")
        return None


def number(text: str) -> float:
    """A number as files write it.

    Raises:
        ValueError: it is none. Python's own ``1_000`` is none either: in a file that is a slip for a point or comma.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def whole(text: str) -> int:
    """A whole number as files write it, ``3`` or ``3.0``.

    Raises:
        ValueError: it is none.
    """
    value = number(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is no whole number")
    return int(value)


def four_numbers(values: Any) -> tuple[float, float, float, float] | None:
    """The numbers of a box in JSON; None where it isn't a list of four (numbers as text are taken, true is none)."""
    if not isinstance(values, list) or len(values) != 4 or any(isinstance(value, bool) for value in values):
        return None
    try:
        a, b, c, d = (number(value) if isinstance(value, str) else float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return a, b, c, d


def text_lines(path: Path) -> list[str]:
    """The lines of a text file, without their ends; bytes that are no UTF-8 are kept as they are in file names.

    Raises:
        OSError: it cannot be opened.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return [line.removesuffix("\r") for line in text.split("\n")]


def table(
    path: Path, separator: str | None, widths: Collection[int], report: Reports
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a text file that holds a table, with their line numbers.

    All rows of a table are of one width: the one that most of them have. Others are broken (a lost or added separator
    or line end moves all that follows to another column), and reported. Empty lines are passed over.

    Args:
        path: of the file.
        separator: between the columns; None for any white space.
        widths: how many columns there may be.
        report: where problems go.

    Raises:
        OSError: it cannot be opened.
    """
    lines = [
        (place, line.strip().rstrip(separator)) for place, line in enumerate(text_lines(path), start=1) if line.strip()
    ]
    count = Counter(len(line.split(separator)) for _, line in lines)
    known = [width for width, _ in count.most_common() if width in widths]
    expected = str(known[0]) if known else " or ".join(map(str, sorted(widths)))
    for place, line in lines:
        fields = line.split(separator)
        if known and len(fields) == known[0]:
            yield place, fields
        else:
            text = f"line {place} has {len(fields)} columns, expected {expected}; it is left out"
            report(path, "bad-row", text)
