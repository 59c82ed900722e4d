"""LabelMe's JSON, a file beside each image (https://github.com/wkentaro/labelme), and what X-AnyLabeling writes in its
form (https://github.com/CVHub520/X-AnyLabeling).

Points are in pixels counted from 0. Rectangles, polygons, circles and masks become the boxes around them; lines have
none. Shapes of one image with one label and one ``group_id`` are parts of one object, as LabelMe's own converters have
it. Points with the ``group_id`` of one object are its keypoints, named by their labels, as X-AnyLabeling has poses.
X-AnyLabeling's ``difficult`` marks objects to ignore, and points that are hidden.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..documents import read_json_text
from ..files import read_file
from .keypoints import skeleton_of
from .listed import ListedImages, Pose
from .problems import Reports, UnknownKeys, note_read
from .shapes import Box, around

_POLYGONS = {"polygon": 3, "rectangle": 2, "oriented_rectangle": 3, "rotation": 3, "quadrilateral": 4, "cuboid": 4}
"""Kinds of shapes whose points the box is around, and how many there are at least."""
_WITHOUT_BOX = ("line", "linestrip", "point", "points")


@dataclass
class LabelmeFiles:
    """The contents of a folder: `listed`, and beside each of its images the further names that it may have."""

    listed: ListedImages
    names: list[list[str]] = field(default_factory=list)
    embedded: set[int] = field(default_factory=set)  # images that the files hold as imageData


def is_labelme(content: Any) -> bool:
    """True for the contents of a LabelMe file."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read_labelme(root: Path, files: Iterable[Path], report: Reports) -> LabelmeFiles:
    """Read files of a folder; JSON that isn't LabelMe's is passed over."""
    reader = _Reader(root, report)
    for path in files:
        try:
            content = read_json_text(read_file(path))
        except (OSError, ValueError) as error:
            report(path, "unreadable-annotation", f"is not valid JSON ({error}); the sample is left out")
            continue
        if is_labelme(content):
            note_read(path)
            reader.add(path, content)
    reader.choose_skeleton()
    reader.keys.report(root, report)
    report.left_out_shapes(root, reader.left_out)
    return reader.files


class _Reader:
    def __init__(self, root: Path, report: Reports) -> None:
        self._root, self._report = root, report
        self.files = LabelmeFiles(ListedImages("shape"))
        self.keys = UnknownKeys(["label", "points", "shape_type", "group_id", "difficult"])
        self.left_out: Counter[str] = Counter()

    def add(self, path: Path, content: dict[str, Any]) -> None:
        """Take a file."""
        stated, shapes = content["imagePath"], content["shapes"]
        if not isinstance(stated, str) or not stated.strip() or not isinstance(shapes, list):
            text = "expected a name as imagePath and a list as shapes; the sample is left out"
            self._report(path, "unreadable-annotation", text)
            return
        listed, known = self.files.listed, len(self.files.names)
        names = _names(path.parent.relative_to(self._root).as_posix(), stated)
        image = listed.image(names[0], path, _size(content))
        if image < known:
            text = f"the image {stated} has another file, {listed.files[image].name}; this one is left out"
            self._report(path, "duplicate", text)
            return
        self.files.names.append(names)
        if content.get("imageData"):
            self.files.embedded.add(image)
        parts: dict[Any, tuple[int, str, bool, list[Box]]] = {}
        poses = self._poses(shapes, path)
        for place, shape in enumerate(shapes, start=1):
            if isinstance(shape, dict) and shape.get("shape_type") == "point" and _group(shape) in poses:
                continue
            box = self._box(shape, path, f"shape {place}")
            if box is not None:
                label, group = shape["label"], _group(shape)
                key = (None, place) if group is None else (label, group)
                ignore = self._difficult(shape, path, place)
                parts.setdefault(key, (place, label, ignore, []))[3].append(box)
        for (_, group), (place, label, ignore, boxes) in parts.items():
            corners = [corner for x1, y1, x2, y2 in boxes for corner in ((x1, y1), (x2, y2))]
            box = boxes[0] if len(boxes) == 1 else around(corners)
            listed.add(image, place, box, label, ignore=ignore, pose=poses.get(group))

    def _poses(self, shapes: list[Any], path: Path) -> dict[Any, Pose]:
        """Keypoints by group: points of the groups that one object with a box has."""
        grouped = [(_group(shape), shape) for shape in shapes if isinstance(shape, dict) and _group(shape) is not None]
        owners: dict[str, set[Any]] = {}
        for group, shape in grouped:
            if shape.get("shape_type") not in _WITHOUT_BOX:
                owners.setdefault(str(group), set()).add(shape.get("label"))
        poses: dict[Any, dict[str, tuple[float, float, float]]] = {}
        for group, shape in grouped:
            label, points = shape.get("label"), shape.get("points")
            if shape.get("shape_type") != "point" or len(owners.get(str(group), ())) != 1:
                continue
            try:
                ((x, y),) = points  # type: ignore[misc]
                place = float(x), float(y)
            except (TypeError, ValueError):
                self._report(path, "bad-keypoints", f"the point {label!r:.50} is at {points!r:.50}; it is left out")
                continue
            if isinstance(label, str) and label.strip() and all(map(math.isfinite, place)):
                poses.setdefault(group, {})[label] = *place, 1.0 if shape.get("difficult") is True else 2.0
        return poses  # type: ignore[return-value]

    def choose_skeleton(self) -> None:
        """Take the keypoints of all objects, in the order of the one that has the most of them."""
        listed = self.files.listed
        if not listed.poses:
            return
        orders = sorted(listed.poses.values(), key=len, reverse=True)
        names = list(dict.fromkeys(name for pose in orders for name in pose))
        listed.skeleton = skeleton_of(names)
        renamed = dict(zip(names, listed.skeleton.names, strict=True))
        listed.poses = {row: {renamed[name]: at for name, at in pose.items()} for row, pose in listed.poses.items()}

    def _box(self, shape: Any, path: Path, where: str) -> Box | None:
        """The box of a shape; None where it has none, or after a wrong one was reported."""
        if not isinstance(shape, dict):
            self._report(path, "bad-box", f"{where}: expected an object, got {shape!r:.50}; the box is left out")
            return None
        self.keys.look(shape, f"{path.name}, {where}")
        kind, label = shape.get("shape_type") or "polygon", shape.get("label")
        if kind not in (*_POLYGONS, "circle", "mask"):
            self.left_out[kind if kind in _WITHOUT_BOX else f"{kind!r:.50} (unknown)"] += 1
            return None
        try:
            box = _around(kind, shape.get("points"))
        except (TypeError, ValueError, OverflowError):
            text = f"{where}: the points {shape.get('points')!r:.100} are no {kind}; the box is left out"
            self._report(path, "bad-box", text)
            return None
        if not isinstance(label, str) or not label.strip():
            self._report(path, "unknown-class", f"{where}: the label is {label!r:.50}; the box is left out")
            return None
        return box

    def _difficult(self, shape: dict[str, Any], path: Path, place: int) -> bool:
        value = shape.get("difficult", False)
        if not isinstance(value, bool):
            text = f"shape {place}: difficult is {value!r:.50}, expected true or false; it is not used"
            self._report(path, "unknown-key", text)
        return value is True


def _group(shape: dict[str, Any]) -> str | None:
    """The group of a shape; None where it has none."""
    group = shape.get("group_id")
    return None if group is None else str(group)


def _around(kind: str, values: Any) -> Box:
    """The box of a shape of a kind; a ValueError or TypeError where its points are wrong."""
    if any(type(number) not in (int, float) for point in values for number in point):
        raise TypeError
    points = [(float(x), float(y)) for x, y in values]
    if len(points) < _POLYGONS.get(kind, 2) or (kind not in _POLYGONS and len(points) > 2):
        raise ValueError
    if kind == "circle":  # the centre, and a point of the rim
        (x, y), radius = points[0], math.dist(*points)
        return x - radius, y - radius, x + radius, y + radius
    x1, y1, x2, y2 = around(points)
    return (x1, y1, x2 + 1, y2 + 1) if kind == "mask" else (x1, y1, x2, y2)  # a mask's last pixel is part of it


def _size(content: dict[str, Any]) -> tuple[int, int] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if type(height) is int and type(width) is int and 0 < height < 2**31 and 0 < width < 2**31:
        return height, width
    return None


def _names(folder: str, stated: str) -> list[str]:
    """The names, inside the root, of an image that a file in `folder` states: there, or where only its own name is."""
    stated = stated.strip().replace("\\", "/")
    own = stated.rpartition("/")[2]
    inside = posixpath.normpath(posixpath.join(folder, stated))
    names = [posixpath.normpath(posixpath.join(folder, own)), own]
    leads_out = inside.startswith(("../", "/")) or inside == ".." or ":" in inside.partition("/")[0]
    return list(dict.fromkeys(names if leads_out else [inside, *names]))


def annotation_text(
    image: str, size_hw: tuple[int, int], objects: Iterable[tuple[Sequence[float], str, float, Pose]]
) -> str:
    """Return the file of an image, whose path is relative to the file.

    LabelMe keeps the key ``score`` when it saves the file again; X-AnyLabeling shows it.

    Args:
        image: the path.
        size_hw: height and width.
        objects: x1 y1 x2 y2, class name, score, and keypoints: those that are labelled become points of the object's
            group.
    """
    shapes: list[dict[str, Any]] = []
    for number, ((x1, y1, x2, y2), label, score, pose) in enumerate(objects, start=1):
        labelled = {name: point for name, point in pose.items() if point[2]}
        group = number if labelled else None
        shapes.append(_shape(label, "rectangle", [(x1, y1), (x2, y2)], group) | {"score": round(score, 5)})
        for name, (x, y, visible) in labelled.items():
            shapes.append(_shape(name, "point", [(x, y)], group) | {"difficult": visible == 1})
    content: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    content |= {"imageHeight": size_hw[0], "imageWidth": size_hw[1]}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _shape(label: str, kind: str, points: Sequence[tuple[float, float]], group: int | None) -> dict[str, Any]:
    return {
        "label": label,
        "points": [[round(x, 2), round(y, 2)] for x, y in points],
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }
