"""What the readers of file formats share: collecting rows and problems, finding files, judging boxes and names."""

from __future__ import annotations

import difflib
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...images import ImageError, image_size
from ..sample import DataError, Problem


@dataclass
class Rows:
    """What a reader appends to while it goes through its files: compact, so that a million pictures fit.

    Attributes:
        clipped: boxes that reached over the edge of their picture and were cut there.
    """

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
        """A box of the picture that `add_image` adds next, cut at the picture's edges; `judge_box` comes before."""
        height, width = size_hw
        x1, y1, x2, y2 = box
        inside = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
        self.clipped += inside != (x1, y1, x2, y2)
        self.boxes.extend(inside)
        self.labels.append(label)
        self.ids.append(identity)
        self.ignore.append(ignore)
        self.areas.append((inside[2] - inside[0]) * (inside[3] - inside[1]) if area is None else area)

    def add_image(self, name: str, image_id: int, size_hw: tuple[int, int]) -> None:
        """Close a picture: its path inside the root, its number, its (height, width)."""
        self.names.append(name.encode("utf-8", "surrogateescape"))
        self.image_ids.append(image_id)
        self.sizes.extend(size_hw)
        self.ends.append(len(self.labels))


class Reports:
    """Collects the problems that a reader finds; with `strict` the first is an error."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.found: list[Problem] = []

    def __call__(self, path: str | Path, kind: str, message: str) -> None:
        problem = Problem(str(path), kind, message)
        if self.strict:
            raise DataError(f"{problem} (an error because of strict=True)")
        self.found.append(problem)


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
            except OSError:
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
    try:
        size = image_size(path)
    except ImageError as error:
        report(path, "unreadable-image", f"{str(error).removeprefix(f'{path}: ')}; the sample is left out")
        return None
    report(path, "size", f"{stated}; the picture's own {size[0]}×{size[1]} (height×width) are used")
    return size


def check_class_names(class_names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple.

    Raises:
        DataError: one string instead of a list, an empty name, or a name that is there twice.
    """
    if isinstance(class_names, str):
        raise DataError(f"class_names: expected a list of names, got the string {class_names!r}")
    names: tuple[str, ...] = tuple(class_names)
    wrong: list[object] = [name for name in names if not str(name).strip()]
    if wrong:
        raise DataError(f"class_names: expected names, got {wrong[0]!r} among {list(names)}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"class_names: {', '.join(twice)} more than once in {', '.join(names)}")
    return names


def with_nearest(names: Iterable[str], known: Sequence[str]) -> str:
    """The names, each with the known name that it may have been meant to be."""
    lower = {name.lower(): name for name in known}
    texts = []
    for name in names:
        nearest = difflib.get_close_matches(name.lower(), list(lower), n=1)
        texts.append(f"{name!r} (did you mean {lower[nearest[0]]!r}?)" if nearest else repr(name))
    return ", ".join(texts)


def describe_problems(problems: Sequence[Problem], examples: int) -> list[str]:
    """Lines that name the first problems and count them all by kind; none if there are none."""
    if not problems:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(problem.kind for problem in problems).items())
    lines = [f"{len(problems)} problem{'s' if len(problems) > 1 else ''} ({kinds})"]
    lines += [f"  {problem}" for problem in problems[:examples]]
    if len(problems) > examples:
        lines.append(f"  ... and {len(problems) - examples} more: see the data set's `problems`")
    return lines
