"""YOLO's label files (https://docs.ultralytics.com/datasets/detect/); `yolo_files` has what is beside them.

A row is class, centre x, centre y, width, height in shares of the image; or class and the corners of a polygon, of
which an oriented box has four; or, where ``kpt_shape`` says so, a box and its key points.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..boxes import xyxy_to_cxcywh
from ..column import Column
from ..documents import read_yaml_text
from ..whole import write_text
from .keypoints import KEYPOINTS
from .problems import Reports
from .rows import SLIVER, BoxRows, RowList, are_usable, describe_fault
from .text import number

_COARSEST = 1e-3  # a share of an image: boxes with fewer decimals reach over an edge by more than rounding
_FAR = 2.0  # no share of an image, nor of what a box reaches over its edge


class LabelRows:
    """The boxes of all label files of a split.

    Rows of seven numbers are judged together, once all are read: where the last is a whole number in every one they
    are boxes with a score and an identity, as trackers write them, else triangles.

    Args:
        classes: their numbers.
        keypoints: how many an object has, and numbers each; None: rows have none.
        report: of rows that are left out.
    """

    def __init__(self, classes: range, keypoints: tuple[int, int] | None, report: Reports) -> None:
        self.classes, self.keypoints, self.report = classes, keypoints, report
        self.polygons: list[tuple[int, int]] = []  # image and line of rows of which the box of the points was taken
        self.steps = array("d")  # of each image: the last decimal of its file, as a share of the image
        self._rows, self._with_score, self._triangles = RowList(), RowList(), RowList()
        self._last = array("d")  # numbers of the rows of seven
        self._far = array("b")  # of each of these: the first corners of a triangle would be far outside
        self._used: set[int] = set()  # numbers of classes, known or not
        self._pose_like: dict[int, int] = {}  # rows by their width, with visibilities where key points have them
        self._has_two = False  # the visibility that no corner can be taken for

    def read(self, lines: Mapping[int, str], path: Path, image: int, size_hw: tuple[int, int]) -> None:
        """Add the rows of an image's file; `places` are lines. Those that are no boxes are reported."""
        decimals = 0
        for place, line in lines.items():
            fields = line.split()
            fault = self._add(fields, path, image, place, size_hw)
            if fault is None:
                decimals = max(decimals, _decimals(max(fields[1:], key=len)))
            else:
                self.report(path, fault[0], f"line {place}: {fault[1]}; the box is left out")
        self.steps.extend([0.0] * (image + 1 - len(self.steps)))
        self.steps[image] = min(10.0**-decimals, _COARSEST)

    def _add(
        self, fields: list[str], path: Path, image: int, place: int, size_hw: tuple[int, int]
    ) -> tuple[str, str] | None:
        """Add a row. Returns what is wrong with it."""
        try:
            kind, *values = map(number, fields)
        except ValueError:
            kind, values = math.nan, []
        if not kind.is_integer():
            return "bad-row", f"{' '.join(fields)!r:.100} is no class and numbers"
        expected = 0 if self.keypoints is None else 4 + self.keypoints[0] * self.keypoints[1]
        posed = expected > 0 and len(values) == expected
        polygon = not expected and len(values) >= 6 and len(values) % 2 == 0
        if len(values) != 4 and not posed and not polygon:
            return "bad-row", self._wrong_width(values)
        self._used.add(int(kind))
        if int(kind) not in self.classes:
            return "unknown-class", f"the class {kind:.0f} is none of {self.classes[0]} .. {self.classes[-1]}"
        label = int(kind) - self.classes[0]
        if polygon and not all(map(math.isfinite, values)):
            return "bad-box", "the polygon has corners that are no finite numbers"
        if polygon and len(values) == 6:
            self._with_score.add(image, place, _box(values[:4], size_hw), label)
            self._triangles.add(image, place, _box_of_points(values, size_hw), label)
            self._last.append(values[-1])
            self._far.append(max(map(abs, values[:-1])) > _FAR)
            return None
        if polygon and max(map(abs, values)) > _FAR:
            return "outside-box", "the polygon has corners far outside its image; numbers are shares of it, 0 .. 1"
        box = _box_of_points(values, size_hw) if polygon else _box(values[:4], size_hw)
        if (
            max(map(abs, values if polygon else values[:4])) > 2
            and not are_usable(np.array([box]), np.array([size_hw]))[0]
        ):
            fault = describe_fault(box, size_hw)
            return fault[0], f"{fault[1]}; numbers are shares of the image, 0 .. 1"
        if polygon:
            self.polygons.append((image, place))
            if _has_visibilities(values):
                self._pose_like[len(values)] = self._pose_like.get(len(values), 0) + 1
                self._has_two |= 2 in values[6::3]
        pose = _pose(values[4:], self.keypoints[1], size_hw) if posed and self.keypoints is not None else None
        if isinstance(pose, str):
            self.report(path, "bad-keypoints", f"line {place}: {pose}; they count as not labelled")
            pose = None
        self._rows.add(image, place, box, label, keypoints=pose)
        return None

    def _wrong_width(self, values: Sequence[float]) -> str:
        text = f"{len(values) + 1} numbers, expected 5 (class x y width height)"
        if self.keypoints is not None:
            count, each = self.keypoints
            return f"{text} or {5 + count * each}, with the key points that kpt_shape says: [{count}, {each}]"
        if len(values) == 5:
            return f"{text} or a polygon: it looks like a detection with its score, or a track with its identity"
        if _has_visibilities(values):
            keypoints = (len(values) - 4) // 3
            return f"{text} or a polygon: for key points add the line kpt_shape: [{keypoints}, 3] to data.yaml"
        return f"{text} or a polygon"

    def finish(self, source: Path, file_of: Callable[[int], Path]) -> BoxRows:
        """Return all boxes by image and line, and report what is known only in the end.

        Args:
            source: the file that such reports are about.
            file_of: an image's label file.
        """
        rows = self._without_poses(self._rows.rows(), source, file_of)
        if len(self._last):
            rows = BoxRows.joined([rows, self._rows_of_seven(source, file_of)])
        if self._used and min(self._used) == 1 and max(self._used) == len(self.classes) == self.classes.stop:
            text = f"classes have the numbers 1 .. {self.classes.stop} and never 0: they seem to count from 1, so that"
            self.report(source, "unknown-class", f"{text} the names of all are wrong by one; put a first name before")
        return rows.select(np.lexsort((rows.places, rows.images)))

    def _without_poses(self, rows: BoxRows, source: Path, file_of: Callable[[int], Path]) -> BoxRows:
        """Return the rows without polygons where all of these are boxes with key points that kpt_shape should say."""
        count = sum(self._pose_like.values())
        if not count or count != len(self.polygons) or not self._has_two:
            return rows
        width = min(self._pose_like)
        text = f"{count} rows of {width + 1} numbers are a box and key points with visibilities, not polygons"
        self.report(source, "bad-row", f"{text}; add the line kpt_shape: [{(width - 4) // 3}, 3] to data.yaml")
        for image, place in self.polygons:
            self.report(file_of(image), "bad-row", f"line {place}: key points without kpt_shape; the box is left out")
        posed, self.polygons = set(self.polygons), []
        keys = zip(rows.images.tolist(), rows.places.tolist(), strict=True)
        return rows.select(np.array([key not in posed for key in keys], dtype=np.bool_))

    def _rows_of_seven(self, source: Path, file_of: Callable[[int], Path]) -> BoxRows:
        """The boxes of rows of class and six numbers: boxes with score and identity, or triangles; never both."""
        last = np.array(self._last)
        whole = last == np.trunc(last)
        identities = whole & (last != 0) & (last != 1)  # no corner in an image
        count, of_tracks = len(last), int(whole.sum())
        if of_tracks == count and (identities.any() or not self.polygons):
            text = f"{count} rows have 7 numbers, the last a whole one, as trackers write them"
            text += ": class x y width height score identity"
            self.report.note(source, "not-used", f"{text}. Scores and identities are not used, the boxes are")
            return self._with_score.rows()
        triangles, far = self._triangles.rows(), np.array(self._far, dtype=np.bool_)
        if not identities.any():
            for row in np.flatnonzero(far).tolist():
                text = f"line {triangles.places[row]}: of 7 numbers one is no share of the image, 0 .. 1"
                text += "; scores and identities are read in the order class x y width height score identity"
                self.report(file_of(int(triangles.images[row])), "bad-row", f"{text}; the box is left out")
            triangles = triangles.select(~far)
            self.polygons += zip(triangles.images.tolist(), triangles.places.tolist(), strict=True)
            return triangles
        text = (
            f"of {count} rows of 7 numbers {of_tracks} end in a whole number, as boxes with a score and an identity do"
        )
        text += f", and {count - of_tracks} do not, as triangles; none is used"
        self.report(source, "bad-row", f"{text}: put the one kind or the other right")
        for image, place in zip(triangles.images.tolist(), triangles.places.tolist(), strict=True):
            text = f"line {place}: 7 numbers, expected 5 or a polygon"
            self.report(file_of(image), "bad-row", f"{text}; the box is left out")
        return RowList().rows()

    def rounding(self, images: NDArray[np.int64], sizes: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far boxes may reach over an edge by rounding alone, in pixels: N×2, x and y.

        Args:
            images: the image of each of the N boxes.
            sizes: (height, width) of each image.
        """
        steps = np.zeros(len(sizes))
        steps[: len(self.steps)] = self.steps
        return np.asarray(np.maximum(steps[images, None] * sizes[images, ::-1], SLIVER))


def _decimals(text: str) -> int:
    """The number of decimals of a number as it is written."""
    digits, _, exponent = text.lower().partition("e")
    return len(digits.partition(".")[2]) - int(exponent or 0)


def _has_visibilities(values: Sequence[float]) -> bool:
    """True if behind four numbers each third one is 0, 1 or 2."""
    return len(values) > 6 and (len(values) - 4) % 3 == 0 and all(value in (0, 1, 2) for value in values[6::3])


def _box(values: Sequence[float], size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 in pixels of centre, width and height."""
    height, width = size_hw
    x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _pose(values: Sequence[float], each: int, size_hw: tuple[int, int]) -> list[float] | str:
    """x, y in pixels and visibility of key points in shares of the image; or what is wrong with them.

    Without a visibility those below 0, or at 0 0, are not labelled.
    """
    if not all(map(math.isfinite, values)):
        return "its key points have values that are no finite numbers"
    (height, width), result = size_hw, list[float]()
    for start in range(0, len(values), each):
        x, y = values[start : start + 2]
        visible = values[start + 2] if each == 3 else 2.0 * (x >= 0 and y >= 0 and (x > 0 or y > 0))
        if visible not in (0, 1, 2):
            return (
                f"a visibility of its key points is {visible:g}, expected 0 (not labelled), 1 (hidden) or 2 (visible)"
            )
        result += (x * width, y * height, visible) if visible else (0.0, 0.0, 0.0)
    return result


def _box_of_points(values: Sequence[float], size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 in pixels of the corners of a polygon."""
    height, width = size_hw
    across, down = [x * width for x in values[::2]], [y * height for y in values[1::2]]
    return min(across), min(down), max(across), max(down)


def label_paths(name: str) -> list[str]:
    """Return where the labels of an image may be, the likeliest first.

    Its name, in the folder where the last ``images`` (or ``JPEGImages``) is ``labels``, beside it, or in ``labels``
    beside it.
    """
    *folders, file = name.split("/")
    file = file.rpartition(".")[0] + ".txt" if "." in file[1:] else f"{file}.txt"
    found = []
    for images, labels in (("images", "labels"), ("Images", "Labels"), ("Images", "labels"), ("JPEGImages", "labels")):
        if images in folders:
            place = len(folders) - 1 - folders[::-1].index(images)
            found.append("/".join([*folders[:place], labels, *folders[place + 1 :], file]))
    return [*dict.fromkeys(found), "/".join([*folders, file]), "/".join([*folders, "labels", file])]


def label_rows(
    boxes: NDArray[Any],
    labels: NDArray[Any],
    size_hw: tuple[int, int],
    scores: NDArray[Any] | None = None,
    keypoints: NDArray[Any] | None = None,
) -> str:
    """Return the text of an image's label file: a row a box, with its score at the end where `scores` are given, or
    with `keypoints` N×K×3."""
    shares = xyxy_to_cxcywh(boxes.astype(float)) / [*size_hw[::-1], *size_hw[::-1]]
    ends = [""] * len(labels) if scores is None else [f" {score:.6g}" for score in scores.tolist()]
    if keypoints is not None:
        poses = (keypoints / [*size_hw[::-1], 1]).tolist()
        ends = ["".join(f" {x:.8f} {y:.8f} {visible:.0f}" for x, y, visible in pose) for pose in poses]
    rows = zip(labels.tolist(), shares.tolist(), ends, strict=True)
    return "".join(f"{label} {' '.join(f'{value:.8f}' for value in box)}{end}\n" for label, box, end in rows)


def write_yolo(
    folder: Path,
    split: str,
    names: Sequence[str],
    annotations: Iterable[Any],
    class_names: Sequence[str],
    *,
    fields: Sequence[Column] = (),
) -> Path:
    """Write labels/<split>/<stem>.txt, and the split's line in data.yaml. Boxes to ignore have no flag: give none.

    Arguments as for `write_coco`, stems all different; what else data.yaml says stays. With keypoints data.yaml gets
    kpt_shape, flip_idx and kpt_names.
    """
    labels = folder / "labels" / split
    skeleton = next((field.skeleton for field in fields if field.name == KEYPOINTS), None)
    labels.mkdir(parents=True, exist_ok=True)
    for name, truth in zip(names, annotations, strict=True):
        pose = None if skeleton is None else truth.data[KEYPOINTS]
        text = label_rows(truth.boxes, truth.labels, (truth.height, truth.width), keypoints=pose)
        write_text((labels / name).with_suffix(".txt"), text, synced=False)
    path = folder / "data.yaml"
    content = read_yaml_text(path.read_text(encoding="utf-8")) if path.is_file() else {}
    content = {key: value for key, value in content.items() if key not in ("nc", "names")}
    content |= {split: f"images/{split}", "nc": len(class_names), "names": dict(enumerate(class_names))}
    if skeleton is not None:
        names_of = {label: list(skeleton.names) for label in range(len(class_names))}
        content |= {"kpt_shape": [len(skeleton), 3], "flip_idx": list(skeleton.flip_order), "kpt_names": names_of}
    return write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
