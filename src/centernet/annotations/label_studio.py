"""Label Studio's JSON and JSON-MIN (https://labelstud.io/guide/export; a region's keys:
https://labelstud.io/guide/task_format).

Places are percentages of ``original_width`` and ``original_height``; a rectangle is turned clockwise about its upper
left corner, an ellipse about its centre. Rectangles, ellipses and polygons become the boxes around them; brushes, key
points, vectors and the timelines of videos are not read. Of several annotations of a task the one that is marked as
ground truth counts, else the newest. Tasks without one, and skipped ones, are images that nobody has annotated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..documents import read_json_text
from ..images import IMAGE_SUFFIXES
from .listed import ListedImages
from .problems import DataError, Reports, opening, read_bytes
from .shapes import Box, around, around_ellipse, around_turned

_WITHOUT_BOX = {"rle": "brush", "imageDataURL": "bitmask", "vertices": "vector", "sequence": "timeline of a video"}
"""Kinds of regions that have no box, by a key of their values."""
_PLACE = {"x", "y", "width", "height", "points", *_WITHOUT_BOX}
_UPLOAD = re.compile(r"(^|/)[0-9a-f]{8}(-|__)(?=[^/?]+$)")  # before the name of a file, by Label Studio


@dataclass
class LabelStudioFile:
    """The contents of a file: `listed`, and beside each of its images the names that it may have."""

    listed: ListedImages
    names: list[list[str]] = field(default_factory=list)


class _Task(NamedTuple):
    """A task; its regions are None where nobody has annotated it."""

    number: str
    data: dict[str, Any]
    upload: Any  # the name of an uploaded file
    regions: list[dict[str, Any]] | None
    others: int  # further annotations, which are left out


def read_label_studio(path: Path, report: Reports, *, image_key: str | None = None) -> LabelStudioFile:
    """Read a file; the name of the task's data that is the image is found where none is given."""
    with opening(path, "annotations"):
        data = read_bytes(path)
    try:
        content = read_json_text(data)
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); export it again") from error
    entries = content if isinstance(content, list) else [content]
    wrong = next((entry for entry in entries if not isinstance(entry, dict)), None) if entries else "an empty list"
    if wrong is not None:
        raise DataError(f"{path}: expected a list of Label Studio's tasks, got {wrong!r:.100}")
    tasks = list(_tasks(entries))
    return _Reader(path, report, image_key or _image_key(path, tasks)).read(tasks)


def _tasks(entries: list[dict[str, Any]]) -> Iterator[_Task]:
    """The tasks of either form; in JSON-MIN each annotation of a task is an entry."""
    minimal: dict[Any, list[dict[str, Any]]] = {}
    for place, entry in enumerate(entries, start=1):
        number, data = entry.get("id", f"number {place}"), entry.get("data")
        if not isinstance(data, dict):
            minimal.setdefault(str(number), []).append(entry)
            continue
        all_of_it = entry.get("annotations", entry.get("completions"))
        done = [a for a in all_of_it or () if isinstance(a, dict) and not (a.get("was_cancelled") or a.get("skipped"))]
        done.sort(key=lambda a: (a.get("ground_truth") is True, str(a.get("created_at", ""))), reverse=True)
        regions = done[0].get("result") if done else None
        yield _Task(str(number), data, entry.get("file_upload"), regions, max(len(done) - 1, 0))
    for number, several in minimal.items():
        several.sort(key=lambda entry: str(entry.get("created_at", "")), reverse=True)
        done = [entry for entry in several if entry.get("annotation_id", 0) is not None]
        lists = [value for value in (done[0] if done else {}).values() if isinstance(value, list)]
        regions = [{**v, "value": v} for values in lists for v in values if isinstance(v, dict)] if done else None
        yield _Task(number, several[0], None, regions, max(len(done) - 1, 0))


def _image_key(path: Path, tasks: list[_Task]) -> str:
    """The one key of the tasks' data whose values look like images; ``image`` where there are several."""
    found: Counter[str] = Counter()
    for task in tasks[:100]:
        found.update(key for key, value in task.data.items() if isinstance(value, str) and _looks_like_image(value))
    if "image" in found or len(found) == 1:
        return "image" if "image" in found else next(iter(found))
    keys = ", ".join(dict.fromkeys(key for task in tasks[:100] for key in task.data))
    what = f"several may be the image: {', '.join(found)}" if found else f"no image among the tasks' data ({keys})"
    if any("sequence" in str(task.regions) for task in tasks[:100]):
        raise DataError(f"{path}: {what}, but timelines of videos, which are not read; CVAT's tracks are")
    raise DataError(f"{path}: {what}; give the name of the one as `image_key`")


def _looks_like_image(text: str) -> bool:
    stored = text.startswith(("/data/upload/", "/data/local-files/"))
    return stored or text.lower().endswith(IMAGE_SUFFIXES) or text.lower().partition("?")[0].endswith(IMAGE_SUFFIXES)


def image_names(address: str) -> list[str]:
    """Return what the file of an address may be called: with and without what Label Studio puts before a name."""
    return list(dict.fromkeys([address.strip(), _UPLOAD.sub(r"\1", address.strip())]))


class _Reader:
    def __init__(self, path: Path, report: Reports, image_key: str) -> None:
        self._path, self._report, self._key = path, report, image_key
        self._file = LabelStudioFile(ListedImages("region"))
        self._left_out: Counter[str] = Counter()
        self._others = self._labels = 0

    def read(self, tasks: list[_Task]) -> LabelStudioFile:
        for task in tasks:
            if task.regions is not None:
                self._add(task, task.regions)
        without = sum(task.regions is None for task in tasks)
        self._report.left_out_shapes(self._path, self._left_out)
        for count, kind, text in (
            (without, "not-annotated", "tasks have no annotation, or were skipped; their images are left out"),
            (self._others, "one-of-several", "further annotations of tasks are left out: of several the newest counts"),
            (self._labels, "one-of-several", "regions have several labels, of which the first counts"),
        ):
            if count:
                self._report(self._path, kind, f"{count} {text}")
        return self._file

    def _add(self, task: _Task, regions: Any) -> None:
        listed, known, where = self._file.listed, len(self._file.names), f"task {task.number}"
        address = task.data.get(self._key)
        if not isinstance(address, str) or not address.strip() or address.startswith("data:"):
            text = f"{where}: {self._key} is {address!r:.50}, expected the name of one file; the sample is left out"
            self._report(self._path, "bad-row", text)
            return
        if not isinstance(regions, list):
            text = f"{where}: result is {regions!r:.50}, expected a list; the sample is left out"
            self._report(self._path, "bad-row", text)
            return
        self._others += task.others
        merged = _merged(regions)
        size_hw = next((size for region in merged if (size := _size(region))), None)
        names = image_names(address)
        if isinstance(task.upload, str) and task.upload:
            names += image_names(task.upload)
        image = listed.image(names[0], self._path, size_hw)
        if image < known:
            self._report(self._path, "duplicate", f"{where}: the image {names[0]} has another task; this is left out")
            return
        self._file.names.append(list(dict.fromkeys(names)))
        for place, region in enumerate(merged, start=1):
            self._add_region(image, place, region, f"{where}, region {place}")

    def _add_region(self, image: int, place: int, region: dict[str, Any], where: str) -> None:
        value = region["value"]
        labels = next((v for k, v in value.items() if k.endswith("labels") and isinstance(v, list) and v), None)
        without = next((kind for key, kind in _WITHOUT_BOX.items() if key in value), None)
        if without is None and "x" in value and not {"height", "radiusX"} & value.keys():
            without = "keypoint" if "width" in value else None
        if without is not None:
            self._left_out[without] += 1
            return
        try:
            box = _box(region, value)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            self._report(self._path, "bad-box", f"{where}: {what}; the box is left out")
        else:
            if labels is None or not isinstance(labels[0], str) or not labels[0].strip():
                self._report(self._path, "unknown-class", f"{where}: no label; the box is left out")
                return
            self._labels += len(labels) > 1
            self._file.listed.add(image, place, box, labels[0])


def _merged(regions: list[Any]) -> list[dict[str, Any]]:
    """The regions; one that several results of one id describe, by a shape and by labels, once.

    Results without a place, such as choices, are passed over.
    """
    found: list[dict[str, Any]] = []
    of_id: dict[str, dict[str, Any]] = {}
    for entry in regions:
        region = dict(entry) if isinstance(entry, dict) else {}
        if region.get("type") == "relation":
            continue
        value = region["value"] = region["value"] if isinstance(region.get("value"), dict) else {}
        if value and not (_PLACE & value.keys() or any(key.endswith("labels") for key in value)):
            continue
        before = of_id.setdefault(str(region.get("id") or len(found)), region)
        same = before is not region and all(
            before["value"][key] == value[key] for key in before["value"].keys() & value.keys()
        )
        if same and before["value"].keys() != value.keys():
            before["value"] = {**before["value"], **value}
        else:
            found.append(region)
    return found


def _size(region: dict[str, Any]) -> tuple[int, int] | None:
    """The (height, width) that percentages are of."""
    sides = [region.get(f"original_{side}") for side in ("height", "width")]
    if any(type(side) not in (int, float) for side in sides):
        return None
    height, width = (float(side or 0) for side in sides)
    return (int(height), int(width)) if 1 <= height < 2**31 and 1 <= width < 2**31 else None


def _box(region: dict[str, Any], value: dict[str, Any]) -> Box:
    """The box of a region in pixels; an error where it has none."""
    size = _size(region)
    if size is None:
        raise ValueError("no original_width and original_height, of which the numbers are percentages")
    if region.get("image_rotation"):
        raise ValueError("the image was turned in Label Studio (image_rotation); turn the file and label it upright")
    height, width = size

    def point(x: Any, y: Any) -> tuple[float, float]:
        if {type(x), type(y)} - {int, float}:
            raise ValueError(f"expected numbers, got {x!r:.30} and {y!r:.30}")
        return x / 100 * width, y / 100 * height

    if "points" in value:
        points = [point(*xy) for xy in value["points"]]
        if len(points) < 3:
            raise ValueError(f"a polygon of {len(points)} points")
        return around(points)
    x, y = point(value["x"], value["y"])
    degrees, _ = value.get("rotation") or 0, point(value.get("rotation") or 0, 0)
    if "radiusX" in value:
        return around_ellipse((x, y), point(value["radiusX"], value["radiusY"]), degrees)
    w, h = point(value["width"], value["height"])
    return around_turned((x, y, x + w, y + h), degrees, (x, y))
