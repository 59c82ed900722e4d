"""COCO's JSON (https://cocodataset.org/#format-data): lists of images, annotations and categories in one file.

Boxes are ``[x, y, width, height]`` counted from 0. Crowd regions (``iscrowd``) and annotations with ``ignore`` become
ignore boxes. Masks and keypoints are passed over.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..dataset import DetectionDataset
from ..sample import DataError
from .reading import (
    Folder,
    Reports,
    Rows,
    UnknownKeys,
    check_class_names,
    four_numbers,
    header_size,
    judge_box,
    text_lines,
    with_nearest,
)

Groups: TypeAlias = dict[Any, list[tuple[int, int, dict[str, Any]]]]
"""By image id: the annotation's place in the file, its label, the annotation."""


class COCO(DetectionDataset):
    """A data set in COCO's format.

    What is wrong in it is left out and named in `problems` (and in one warning): a missing picture leaves out the
    sample; an unknown category or image, and a box that is inverted, without area, outside its picture or no number,
    leave out the annotation. Pictures without annotations stay, as examples of background. Boxes that reach over the
    edge are cut there.

    Category ids may have gaps: labels are contiguous in the order of the ids, or of `class_names`; the ids are kept in
    `category_ids` for results in COCO's form. Image ids are kept where all of them are whole numbers.

    Args:
        annotations: the JSON file.
        images: the folder that the file names are relative to; None looks beside the JSON file (the folder itself,
            ``images``, ``JPEGImages``, a folder of the split's name as in COCO's own layout; the same one level up).
        class_names: the classes in the order of their labels; annotations of other categories are left out and counted.
            None takes all categories.
        subset: a text file with one file name a line: only these pictures.
        require_images: False takes pictures that are not there as well, to look at the annotations alone.
        strict: the first problem is an error.

    Raises:
        DataError: no such file, no COCO JSON, no folder of pictures, or no usable image; with `strict` any problem.
    """

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        subset: str | os.PathLike[str] | None = None,
        require_images: bool = True,
        strict: bool = False,
    ) -> None:
        path = Path(annotations)
        content = _load(path)
        report = Reports(strict=strict)
        category_of = _categories(content["categories"], path)
        names = tuple(category_of) if class_names is None else check_class_names(class_names)
        unknown = [name for name in names if name not in category_of]
        if unknown:
            raise DataError(
                f"{path}: class_names has {with_nearest(unknown, tuple(category_of))}, "
                f"but the categories of the file are {', '.join(category_of)}"
            )
        labels = {category_of[name]: label for label, name in enumerate(names)}
        root = _image_folder(path, images, content["images"], required=require_images)
        groups = _group(content, path, category_of, labels, report)
        entries = content["images"] if subset is None else _chosen(content["images"], Path(subset), report)
        rows = _read_images(entries, groups, path, Folder(root), report, required=require_images)
        super().__init__(
            names,
            rows.columns(root),
            source=path if subset is None else Path(subset),
            problems=report.found,
            strict=strict,
            category_ids=tuple(labels),
            clipped=rows.clipped,
        )


def _load(path: Path) -> dict[str, list[Any]]:
    """The three lists of the file; masks and keypoints are dropped while it is read."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = json.load(file, object_hook=_without_shapes)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check `annotations`") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); is the file complete?") from error
    expected = "expected an object with the lists images, annotations and categories"
    if isinstance(content, list):
        raise DataError(f"{path}: {expected}, got a list (the form of detection results, not of annotations)")
    if not isinstance(content, dict):
        raise DataError(f"{path}: {expected}, got {type(content).__name__}")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise DataError(f"{path}: {expected}; {key!r} is missing or no list. Its keys are {', '.join(content)}")
    return content


def _without_shapes(entry: dict[str, Any]) -> dict[str, Any]:
    for key in ("segmentation", "keypoints"):
        entry.pop(key, None)
    return entry


def _categories(entries: Sequence[Any], path: Path) -> dict[str, int]:
    """Category ids by name, in the order of the ids."""
    ids: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not _whole(entry.get("id")) or not isinstance(entry.get("name"), str):
            raise DataError(f"{path}: categories[{number}] is {entry!r:.100}; expected an id (whole number) and a name")
        name = entry["name"].strip()
        if name in ids or entry["id"] in ids.values():
            raise DataError(f"{path}: categories[{number}]: the name {name!r} or the id {entry['id']} is there twice")
        ids[name] = entry["id"]
    if not ids:
        raise DataError(f"{path}: the list categories is empty; add one entry with id and name for each class")
    return dict(sorted(ids.items(), key=lambda item: item[1]))


def _image_folder(path: Path, images: str | os.PathLike[str] | None, entries: Sequence[Any], *, required: bool) -> Path:
    if images is not None:
        if not Path(images).is_dir():
            raise DataError(f"{images}: no such folder; `images` is the folder that the file names are relative to")
        return Path(images)
    above = path.parent.parent
    split = path.stem.rpartition("_")[2]  # instances_train2017.json
    folders = [path.parent / name for name in ("", "images", "JPEGImages", split)]
    folders += [above / name for name in ("images", "JPEGImages", split, f"images/{split}")]
    names = [entry["file_name"] for entry in entries[:20] if _usable(entry)]
    for folder in folders:
        finder = Folder(folder)
        if any(finder.find(name) for name in names):
            return folder
    if not required:
        return path.parent
    tried = ", ".join(str(folder) for folder in folders)
    example = f" such as {names[0]!r}" if names else ""
    raise DataError(f"{path}: its pictures{example} are in none of {tried}; give their folder as `images`")


def _group(
    content: dict[str, list[Any]], path: Path, category_of: dict[str, int], labels: dict[int, int], report: Reports
) -> Groups:
    """Annotations that have a label, by image id; the file's own list is emptied."""
    known_images = {entry.get("id") for entry in content["images"] if _usable(entry)}
    names = {number: name for name, number in category_of.items()}
    not_asked_for: Counter[str] = Counter()
    groups: Groups = {}
    keys = UnknownKeys(["iscrowd", "ignore", "area"])
    for place, entry in enumerate(content["annotations"]):
        if not isinstance(entry, dict):
            report(path, "bad-box", f"annotations[{place}] is {entry!r:.100}, expected an object; it is left out")
            continue
        keys.look(entry, f"annotations[{place}]")
        image_id, category = entry.get("image_id"), entry.get("category_id")
        if isinstance(image_id, (list, dict)) or image_id not in known_images:
            text = f"{_where(place, entry)}: no image has the id {image_id!r:.50}; it is left out"
            report(path, "unknown-image", text)
        elif isinstance(category, (list, dict)) or category not in names:
            text = f"{_where(place, entry)}: no category has the id {category!r:.50}; it is left out"
            report(path, "unknown-class", text)
        elif category not in labels:
            not_asked_for[names[category]] += 1
        else:
            groups.setdefault(image_id, []).append((place, labels[category], entry))
    content["annotations"] = []
    keys.report(path, report)
    report.left_out(path, not_asked_for)
    return groups


def _chosen(entries: Sequence[Any], subset: Path, report: Reports) -> list[Any]:
    """The images that a list of file names asks for, in the order of the list."""
    try:
        lines = text_lines(subset)
    except OSError as error:
        raise DataError(f"{subset}: cannot be opened ({error.strerror}); check `subset`") from error
    by_name = {entry["file_name"]: entry for entry in entries if _usable(entry)}
    chosen = []
    for name in dict.fromkeys(line.strip() for line in lines if line.strip()):
        if name in by_name:
            chosen.append(by_name[name])
        else:
            report(subset, "unknown-image", f"no image of the JSON file has the file name {name!r}; it is left out")
    return chosen


def _read_images(
    entries: Sequence[Any], groups: Groups, path: Path, folder: Folder, report: Reports, *, required: bool
) -> Rows:
    rows = Rows()
    numbered = all(_whole(entry["id"]) for entry in entries if _usable(entry))
    if not numbered:
        text = "not all image ids are whole numbers: pictures are numbered by their place in the file instead"
        report(path, "image-id", text)
    seen: set[Any] = set()
    for place, entry in enumerate(entries):
        if not _usable(entry):
            text = f"images[{place}] is {entry!r:.100}, expected an object with id and file_name; it is left out"
            report(path, "missing-image", text)
            continue
        name, image_id = entry["file_name"], entry["id"]
        if image_id in seen:
            report(path, "duplicate", f"images[{place}] ({name}) has the id {image_id!r} of another; it is left out")
            continue
        seen.add(image_id)
        found = folder.find(name)
        climbs = found is None and (".." in Path(name).parts or Path(name).is_absolute())
        if found is None and not (required or climbs):
            found = name
        if found is None:
            reason = "the name leads out of the folder of pictures, which is refused" if climbs else "no such file"
            report(folder.root / name, "missing-image", f"{reason}; the sample is left out")
            continue
        size_hw = _size(entry)
        if size_hw is None:
            stated = f"{path.name} gives it the size {entry.get('height')}×{entry.get('width')}"
            size_hw = header_size(folder.root / found, stated, report)
        if size_hw is None:
            continue
        for number, label, annotation in groups.get(image_id, ()):
            numbers = four_numbers(annotation.get("bbox"))
            if numbers is None:
                text = f"bbox is {annotation.get('bbox')!r:.100}, expected four numbers"
                report(path, "bad-box", f"{_where(number, annotation)} of {name}: {text}; the box is left out")
                continue
            x, y, width, height = numbers
            box = x, y, x + width, y + height
            wrong = judge_box(box, size_hw)
            if wrong is not None:
                report(path, wrong[0], f"{_where(number, annotation)} of {name}: {wrong[1]}; the box is left out")
                continue
            ignore = bool(annotation.get("iscrowd")) or bool(annotation.get("ignore"))
            rows.add_box(box, size_hw, label=label, ignore=ignore, area=_area(annotation.get("area")))
        rows.add_image(found, image_id if numbered else place, size_hw)
    return rows


def _usable(entry: Any) -> bool:
    """Whether an entry of the list of images has a name and something to call it by."""
    return (
        isinstance(entry, Mapping)
        and isinstance(entry.get("file_name"), str)
        and entry["file_name"] != ""
        and isinstance(entry.get("id"), (int, str, float))
    )


def _where(place: int, annotation: Mapping[str, Any]) -> str:
    return f"annotations[{place}] (id {annotation.get('id')})"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < 2**63


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) as stated; None where it is missing, no whole number or not positive."""
    height, width = entry.get("height"), entry.get("width")
    if not (isinstance(height, int) and isinstance(width, int) and 0 < height < 2**31 and 0 < width < 2**31):
        return None
    return height, width


def _area(area: Any) -> float | None:
    """As stated; None where it is no positive number that float32 can hold."""
    return float(area) if isinstance(area, (int, float)) and 0 < area < 1e38 else None
