"""COCO's JSON (https://cocodataset.org/#format-data): lists of images, annotations and categories in one file.

Boxes are ``[x, y, width, height]`` counted from 0; where one is missing it is that around the polygons or the mask.
Crowd regions (``iscrowd``) and annotations with ``ignore`` become ignore boxes. Keypoints (x, y, visibility each) are
those that a category names, CrowdPose's fourteen too. Files are read entry by entry, as they may be larger than the
memory.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import xyxy_to_xywh
from ..column import Column
from ..skeleton import Skeleton
from ..whole import write_text
from .conventions import look_misnumbered, look_normalised
from .flags import Flags
from .json_stream import read_lists
from .keypoints import KEYPOINTS, checked, skeleton_of
from .outlines import outline_box
from .problems import DataError, Reports, UnknownKeys
from .rows import BoxRows, RowList
from .text import json_box


class CocoImage(NamedTuple):
    """An entry of the list of images: its place there, and what it says, whatever that is (but for a text as name)."""

    place: int
    id: Any
    name: str
    height: Any
    width: Any

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """(height, width) as stated; None where it is missing, no whole number or not positive."""
        size = self.height, self.width
        return size if all(isinstance(side, int) and 0 < side < 2**31 for side in size) else None


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The contents of a file of annotations.

    The `images` of the rows are indices of the list of images, their `labels` places among the categories, and their
    `places` those in the file's own list.
    """

    categories: Mapping[str, int]  # ids by name, in the order of the ids
    parents: Mapping[int, str]  # by id: why a category without a box is taken for no class
    images: Sequence[CocoImage]  # those with a name and an id, in the order of the file
    rows: BoxRows
    unreadable: Mapping[int, str]  # by place: why a box is not four numbers
    where: Callable[[int], str]  # names an annotation, from its place
    posed: Sequence[str] = ()  # the categories with the keypoints of the rows
    skeleton: Skeleton | None = None


def read_coco(path: Path, report: Reports, *, keypoints: bool = True) -> CocoFile:
    """Read a file of annotations, with `keypoints` where a category names some.

    Wrong entries are reported and left out; a file that is no COCO JSON is an error.
    """
    try:
        return collect_coco(read_lists(path), path, report, keypoints=keypoints)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror or error}); check `annotations`") from error


def collect_coco(
    entries: Iterable[tuple[str, int | None, Any]], path: Path, report: Reports, *, keypoints: bool = True
) -> CocoFile:
    """Put the entries of COCO's lists together, as `read_lists` gives them; else as `read_coco`."""
    lists: dict[str, Any] = {}
    wrong_images: list[str] = []
    try:
        for key, place, entry in entries:
            if place is None:
                lists[key] = _Annotations(keypoints) if (key, entry) == ("annotations", []) else entry
            elif key == "annotations":
                lists[key].add(place, entry)
            elif key != "images":
                lists[key].append(entry)
            elif _is_image(entry):
                size = entry.get("height"), entry.get("width")
                lists[key].append(CocoImage(place, entry["id"], entry["file_name"], *size))
            else:
                wrong_images.append(f"images[{place}] is {entry!r:.100}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); is the file complete?") from error
    expected = f"{path}: expected an object with the lists images, annotations and categories"
    if not isinstance(whole := lists.get("", {}), dict):
        results = "a list (the form of detection results, not of annotations)"
        raise DataError(f"{expected}, got {results if isinstance(whole, list) else type(whole).__name__}")
    for key in ("images", "annotations", "categories"):
        if not isinstance(lists.get(key), (list, _Annotations)):
            raise DataError(f"{expected}; {key!r} is missing or no list. Its keys are {', '.join(lists)}")
    annotations: _Annotations = lists["annotations"]
    categories, parents = _categories(lists["categories"], annotations.category_ids, path)
    poses = {whole_number(entry.get("id")): pose for entry in lists["categories"] if (pose := pose_of(entry))}
    skeleton, posed = annotations.choose(poses, path, report)
    rows = annotations.resolve(lists["images"], categories, path, report)
    if skeleton is not None:
        stated = annotations.keypoints(len(skeleton), posed, path, report)
        rows = replace(rows, data={KEYPOINTS: stated[rows.places]})
    named = [name for name, number in categories.items() if number in posed]
    for text in wrong_images:
        report(path, "missing-image", f"{text}, expected an object with id and file_name; it is left out")
    unreadable, where = annotations.unreadable, annotations.where
    return CocoFile(categories, parents, lists["images"], rows, unreadable, where, named, skeleton)


def _is_image(entry: Any) -> bool:
    """Return True if an entry of the list of images has a name and something to call it by."""
    name = entry.get("file_name") if isinstance(entry, dict) else None
    return isinstance(name, str) and name != "" and type(entry.get("id")) in (int, str, float)


def whole_number(value: Any) -> int | None:
    """Return a whole number that an int64 holds, also one that is written as text or with a point; None for others."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,19}(\.0+)?\s*", value):
        value = int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < 2**63 else None


class _Annotations:
    """The list of annotations, which may come before the images and categories that it speaks of."""

    def __init__(self, keypoints: bool = True) -> None:
        self.unreadable: dict[int, str] = {}
        self._poses: dict[int, tuple[Any, array[float] | str]] = {}  # by place: the category, numbers or what is wrong
        self._with_keypoints = keypoints
        self._rows = RowList()
        self._keys = UnknownKeys(["iscrowd", "ignore", "area"])
        self._crowd, self._ignore = Flags("iscrowd", "objects"), Flags("ignore", "objects")
        self._images: dict[Any, int] = {}  # a number for each id that occurs
        self._categories: dict[Any, int] = {}
        self._ids, self._odd_ids = array("q"), dict[int, Any]()  # of the annotations: 8 bytes each for whole numbers
        self._wrong: list[tuple[int, str, str]] = []
        self._outlined = array("q")  # places of those with the box around their outline
        self._masks = array("q")  # of boxes around masks: the number of the row, height and width of the mask

    @property
    def category_ids(self) -> Collection[Any]:
        """Ids of categories that annotations have."""
        return self._categories

    def add(self, place: int, entry: Any) -> None:
        own_id = entry.get("id") if isinstance(entry, dict) else None
        if type(own_id) is not int or abs(own_id) >= 2**63:
            self._odd_ids[place], own_id = own_id, 0
        self._ids.append(own_id)
        if not isinstance(entry, dict):
            self._wrong.append((place, "bad-box", f"annotations[{place}] is {entry!r:.100}, expected an object"))
            return
        self._keys.look(entry, f"annotations[{place}]")
        if self._with_keypoints and entry.get("keypoints"):
            self._add_keypoints(place, entry)
        box = json_box(stated := entry.get("bbox"))
        if box is None:
            box = self._around_outline(place, entry) if stated in (None, []) else None
            if box is None and place not in self.unreadable:
                self.unreadable[place] = f"bbox is {stated!r:.100}, expected four numbers"
        area = entry.get("area")
        area = float(area) if isinstance(area, (int, float)) and 0 < area < 1e38 else math.nan
        image, label = _number(self._images, entry.get("image_id")), _number(self._categories, entry.get("category_id"))
        crowd = self._crowd.read(entry.get("iscrowd"), self.where, place)
        ignore = self._ignore.read(entry.get("ignore"), self.where, place)
        self._rows.add(image, place, box or (math.nan,) * 4, label, ignore=crowd or ignore, area=area)

    def _add_keypoints(self, place: int, entry: Mapping[str, Any]) -> None:
        values = entry["keypoints"]
        numbers = checked(values, len(values) // 3 if isinstance(values, list) else 1)
        category = entry.get("category_id")
        key = whole_number(category) if isinstance(category, (int, float, str)) else None
        self._poses[place] = key, numbers if isinstance(numbers, str) else array("f", numbers)

    def choose(
        self, poses: Mapping[int | None, Skeleton], path: Path, report: Reports
    ) -> tuple[Skeleton | None, set[int | None]]:
        """Return the skeleton that most annotations with keypoints have, and the ids of its categories."""
        counts = Counter(category for category, _ in self._poses.values())
        if not counts:
            return None, set()
        kinds: Counter[tuple[str, ...]] = Counter()
        for category, count in counts.items():
            if category in poses:
                kinds[poses[category].names] += count
        if not kinds:
            text = f"{sum(counts.values())} annotations have keypoints, and no category names them (its list keypoints)"
            report.note(path, "not-used", f"{text}: they are not read")
            return None, set()
        [(names, _)] = kinds.most_common(1)
        chosen = {category for category, pose in poses.items() if pose.names == names}
        if left := sum(counts.values()) - sum(counts[category] for category in chosen):
            text = f"the keypoints of {left} annotations are others than the {len(names)} that most have"
            report.note(path, "not-used", f"{text} ({', '.join(names[:3])} ...): they are not read")
        return next(poses[category] for category in poses if category in chosen and counts[category]), chosen

    def keypoints(self, count: int, posed: Collection[int | None], path: Path, report: Reports) -> NDArray[np.float32]:
        """Return the keypoints of all annotations, M×count×3; 0 where they have none, or wrong ones, which is said."""
        result = np.zeros((len(self._ids), count, 3), np.float32)
        for place, (category, numbers) in self._poses.items():
            if category not in posed:
                continue
            if not isinstance(numbers, str) and len(numbers) != 3 * count:
                numbers = f"it has {len(numbers) // 3} keypoints, its category names {count}"
            if isinstance(numbers, str):
                report(path, "bad-keypoints", f"{self.where(place)}: {numbers}; they count as not labelled")
            else:
                result[place] = np.asarray(numbers).reshape(-1, 3)
        return result

    def _around_outline(self, place: int, entry: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
        segmentation = entry.get("segmentation")
        if not segmentation:
            return None
        try:
            box = outline_box(segmentation)
        except ValueError as error:
            self.unreadable[place] = f"bbox is missing, and there is no box around its outline: {error}"
            return None
        if isinstance(segmentation, dict):
            self._masks.extend((len(self._rows), *segmentation["size"]))
        self._outlined.append(place)
        return box

    def where(self, place: int) -> str:
        return f"annotations[{place}] (id {self._odd_ids.get(place, self._ids[place])})"

    def resolve(self, images: list[CocoImage], categories: Mapping[str, int], path: Path, report: Reports) -> BoxRows:
        """Bring the annotations to their images and categories; see `CocoFile`."""
        index_of = {image.id: index for index, image in reversed(list(enumerate(images)))}  # the first of two counts
        label_of = {number: label for label, number in enumerate(categories.values())}
        rows = self._rows.rows()
        indices = self._resolved(self._images, index_of, "image", path, report)[rows.images]
        labels = self._resolved(self._categories, label_of, "category", path, report)[rows.labels]
        used = (indices >= 0) & (labels >= 0)
        image_ids, category_ids = list(self._images), list(self._categories)
        for row in np.flatnonzero(~used).tolist():
            kind, what, key = "unknown-class", "category", category_ids[rows.labels[row]]
            if indices[row] < 0:
                kind, what, key = "unknown-image", "image", image_ids[rows.images[row]]
            place, text = int(rows.places[row]), key[0] if isinstance(key, tuple) else repr(key)
            self._wrong.append((place, kind, f"{self.where(place)}: no {what} has the id {text:.50}"))
        for _, kind, text in sorted(self._wrong):
            report(path, kind, f"{text}; it is left out")
        self._keys.report(path, report)
        for flag in (self._crowd, self._ignore):
            flag.report(path, report)
        for row, *size in np.array(self._masks, dtype=np.int64).reshape(-1, 3).tolist():
            image = images[indices[row]] if indices[row] >= 0 else None
            if image is not None and image.size_hw not in (None, tuple(size)):
                place = int(rows.places[row])
                of = f"its mask has {size[0]}×{size[1]} pixels, its image {image.height}×{image.width} (height×width)"
                self.unreadable[place] = f"bbox is missing, and {of}"
                rows.boxes[row] = math.nan
        if outlined := [place for place in self._outlined if place not in self.unreadable]:
            text = f"{len(outlined)} annotations have no bbox, the first is {self.where(outlined[0])}"
            report.note(path, "box-of-outline", f"{text}: the boxes around their polygons or masks are taken")
        rows = replace(rows.select(used), images=indices[used], labels=labels[used])
        if len(rows) and rows.ignore.all():
            report(path, "all-ignored", f"iscrowd (or ignore) is set in all {len(rows)} annotations: {_ALL_IGNORED}")
        sizes = np.array([image.size_hw or (math.nan, math.nan) for image in images]).reshape(-1, 2)[rows.images]
        if shares := look_normalised(rows.boxes, sizes):
            report(path, "normalised-boxes", f"{shares}; write x, y, width and height in pixels")
        elif other := look_misnumbered(rows.boxes, sizes, first=0):
            report(path, "pixel-numbering", other)
        return rows

    def _resolved(
        self, numbers: Mapping[Any, int], known: Mapping[Any, int], what: str, path: Path, report: Reports
    ) -> NDArray[np.int64]:
        """Return what each id that occurs stands for, -1 for nothing; ``"1"`` is 1 where that is the only one."""
        alike: dict[int | None, list[Any]] = {}
        for key in known:
            alike.setdefault(whole_number(key), []).append(key)
        found, otherwise = [], []
        for key in numbers:
            same = alike.get(None if isinstance(key, tuple) else whole_number(key), [])
            if key not in known and len(same) == 1 and whole_number(key) is not None:
                otherwise.append((key, same[0]))
                key = same[0]
            found.append(known.get(key, -1))
        if otherwise:
            key, meant = otherwise[0]
            text = f"{len(otherwise)} of the ids by which annotations name their {what} are written in another way"
            report.note(path, "id-as-text", f"{text} there, such as {key!r} for {meant!r}; they are taken for the same")
        return np.array(found, dtype=np.int64)


_ALL_IGNORED = (
    "all boxes are regions to ignore, and there is no object to learn or to find. Set it to 0 for single objects "
    "(it says that a region holds a crowd, not that its mask is run-length encoded)"
)


def _number(numbers: dict[Any, int], value: Any) -> int:
    """The number of a value that may be anything that JSON has; of what is no number or text its own text counts."""
    odd = isinstance(value, (list, dict, bool))  # True would be 1
    return numbers.setdefault((repr(value),) if odd else value, len(numbers))


def pose_of(category: Any) -> Skeleton | None:
    """The keypoints of a category; None where it names none. Edges count from 1, or from 0 where one is there."""
    names = category.get("keypoints") if isinstance(category, dict) else None
    if not isinstance(names, list) or not names:
        return None
    stated = category.get("skeleton")
    edges = [
        (edge[0], edge[1])
        for edge in (stated if isinstance(stated, list) else ())
        if isinstance(edge, list) and len(edge) == 2 and all(type(end) is int for end in edge)
    ]
    first = 0 if any(0 in edge for edge in edges) else 1
    return skeleton_of(names, [(a - first, b - first) for a, b in edges])


class _Category(NamedTuple):
    id: int
    name: str
    parent: str  # its supercategory


def _categories(entries: Sequence[Any], used: Collection[Any], path: Path) -> tuple[dict[str, int], dict[int, str]]:
    """Return category ids by name, in the order of the ids, and why some are no classes; see `CocoFile`.

    Roboflow's category 0 is the project, over all others, perhaps with the name of one of them.
    """
    found: list[_Category] = []
    for number, entry in enumerate(entries):
        own_id = whole_number(entry.get("id")) if isinstance(entry, dict) else None
        if own_id is None or not isinstance(entry.get("name"), str):
            raise DataError(f"{path}: categories[{number}] is {entry!r:.100}; expected an id (whole number) and a name")
        parent = entry.get("supercategory")
        found.append(_Category(own_id, entry["name"].strip(), parent.strip() if isinstance(parent, str) else ""))
    if not found:
        raise DataError(f"{path}: the list categories is empty; add one entry with id and name for each class")
    with_boxes = {whole_number(key) for key in used if not isinstance(key, tuple)}
    named = {entry.name: entry.id for entry in found if entry.id in with_boxes}
    ids: dict[str, int] = {}
    parents: dict[int, str] = {}
    for entry in found:
        unused = f"the category {entry.name!r} (id {entry.id}) has no box and"
        below = [other.name for other in found if other.parent == entry.name != entry.parent and other is not entry]
        if below and entry.id not in with_boxes:
            more = f" and {len(below) - 5} more" if len(below) > 5 else ""
            parents[entry.id] = f"{unused} is the supercategory of {', '.join(below[:5])}{more}: it is no class"
        elif entry.id not in with_boxes and entry.name in named:
            parents[entry.id] = f"{unused} the name of another (id {named[entry.name]}): it is no class"
    for entry in sorted(found, key=lambda entry: (entry.id in parents, entry.id)):
        if entry.id in ids.values() or (entry.name in ids and entry.id not in parents):
            text = f"categories: the name {entry.name!r} or the id {entry.id} is there twice"
            raise DataError(f"{path}: {text}; give each class one entry with an id of its own")
        ids.setdefault(entry.name, entry.id)
    return dict(sorted(ids.items(), key=lambda item: item[1])), parents


def write_coco(
    folder: Path,
    split: str,
    names: Sequence[str],
    annotations: Iterable[Any],
    class_names: Sequence[str],
    *,
    category_ids: Sequence[int] | None = None,
    fields: Sequence[Column] = (),
) -> Path:
    """Write annotations_<split>.json; ignored boxes have iscrowd (which COCO's evaluation knows) and ignore set.

    The folder holds the images of these names in ``images``; `annotations` are theirs (`centernet.data.Annotation`).
    Image ids are kept. Categories are numbered from 1 unless their ids are given. Of the `fields` of the data set the
    keypoints are written: to each class that has some.
    """
    writer = CocoEntries(class_names, category_ids=category_ids, fields=fields)
    images, entries = [], list[dict[str, Any]]()
    for name, truth in zip(names, annotations, strict=True):
        images.append({"id": truth.image_id, "file_name": name, "height": truth.height, "width": truth.width})
        entries += writer.annotations(truth, len(entries) + 1)
    content = {"images": images, "annotations": entries, "categories": writer.categories()}
    return write_text(folder / f"annotations_{split}.json", json.dumps(content))


class CocoEntries:
    """The entries of COCO's lists for images one after the other; see `write_coco` for the arguments."""

    def __init__(
        self, class_names: Sequence[str], *, category_ids: Sequence[int] | None = None, fields: Sequence[Column] = ()
    ) -> None:
        self.class_names = class_names
        self.numbers = range(1, len(class_names) + 1) if category_ids is None else category_ids
        self.skeleton = next((field.skeleton for field in fields if field.name == KEYPOINTS), None)
        self._posed: set[int] = set()

    def annotations(self, truth: Any, first_id: int) -> list[dict[str, Any]]:
        """Return the entries of an image's boxes (`centernet.data.Annotation`), numbered from `first_id`."""
        entries = list[dict[str, Any]]()
        columns = (xyxy_to_xywh(truth.boxes), truth.labels, truth.ignore.astype(int), truth.areas)
        poses = truth.data[KEYPOINTS] if self.skeleton is not None else [None] * len(truth)
        for pose, box, label, ignore, area in zip(poses, *(column.tolist() for column in columns), strict=True):
            entry = {"id": first_id + len(entries), "image_id": truth.image_id, "category_id": self.numbers[label]}
            entry |= {"bbox": [round(value, 3) for value in box], "area": round(area, 3)}
            if pose is not None and pose[:, 2].any():
                self._posed.add(label)
                entry |= {"num_keypoints": int((pose[:, 2] > 0).sum())}
                entry |= {"keypoints": [round(float(value), 3) for value in pose.ravel()]}
            entries.append(entry | {"iscrowd": ignore, "ignore": ignore})
        return entries

    def categories(self) -> list[dict[str, Any]]:
        """Return the list of categories, once all annotations are written: those with keypoints name them."""
        categories: list[dict[str, Any]] = []
        for label, name in enumerate(self.class_names):
            categories.append({"id": self.numbers[label], "name": name})
            if self.skeleton is not None and (label in self._posed or len(self.class_names) == 1):
                edges = [[a + 1, b + 1] for a, b in self.skeleton.edges]
                categories[-1] |= {"keypoints": list(self.skeleton.names), "skeleton": edges}
        return categories
