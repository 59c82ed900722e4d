"""Formats that datumaro reads (https://github.com/open-edge-platform/datumaro), for those that have no reader here.

What is lost on the way is counted: shapes without a box, attributes, images that are within other files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...annotations.listed import ListedImages
from ...annotations.problems import DataError, Reports, note_read, with_nearest
from ...annotations.shapes import around
from ...extras import require
from ...images import walk_files
from .listed import Listed

_BOXES = ("bbox", "rotated_bbox", "ellipse", "cuboid_2d")
_OUTLINES = ("polygon", "mask")  # several of one group are parts of an object, or its outline beside the box
_IGNORED = ("is_crowd", "difficult", "ignore")  # attributes of objects to ignore, where they are true
_TRUE, _FALSE = ("true", "1"), ("false", "0", "none", "")


class Datumaro(Listed):
    """A data set that datumaro reads; install it with ``pip install 'centernet[datumaro]'``.

    Args:
        root: the folder or file.
        dataset_format: datumaro's name of the format, such as ``vott_json``.
        split: the name of a subset, None takes all.
        class_names: None takes datumaro's labels in their order.
        strict: the first problem is an error.
    """

    not_read = "attributes, the outlines of polygons and masks, and what datumaro itself passes over"

    def __init__(
        self,
        root: str | os.PathLike[str],
        dataset_format: str,
        *,
        split: str | None = None,
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path, report = Path(root), Reports(strict=strict)
        dataset, version = _opened(path, dataset_format)
        known = sorted(dataset.subsets())
        if split is not None and split not in known:
            raise DataError(
                f"{path}: no subset {with_nearest([split], known)}; the subsets there are {', '.join(known)}"
            )
        listed, folder = _read(dataset if split is None else dataset.subsets()[split], path, report)
        if not listed.names:
            first = f" The first problem: {report.found[0]}" if report.found else ""
            raise DataError(f"{path}: datumaro {version} finds no image in it as {dataset_format}.{first}")
        super().__init__(listed, path, folder, class_names, report)


def find_datumaro(path: Path, dataset_format: str) -> dict[str, dict[str, Any]]:
    """Return the subsets of a folder or file in a format of datumaro's."""
    dataset, _ = _opened(path, dataset_format)
    arguments = {"root": path, "dataset_format": dataset_format}
    return {name: {**arguments, "split": name} for name in sorted(dataset.subsets())}


def _opened(path: Path, dataset_format: str) -> tuple[Any, str]:
    """Datumaro's data set, whole, and datumaro's version."""
    datumaro = require("datumaro", f"reading {path} as datumaro's {dataset_format}")
    version = str(require("datumaro.version", "reading data by datumaro").__version__)
    known = sorted(datumaro.Environment().importers)
    if dataset_format not in known:
        text = f"datumaro {version} has no format {with_nearest([dataset_format], known)}"
        raise DataError(f"{text}; it has {', '.join(known)}")
    try:
        dataset = datumaro.Dataset.import_from(str(path), dataset_format)
        dataset.init_cache()
        for file in [path] if path.is_file() else walk_files(path):  # which of them it read only it knows
            note_read(file)
    except Exception as error:  # of any kind, and of many libraries
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: datumaro {version} cannot read it as {dataset_format}: {text}") from error
    return dataset, version


def _read(dataset: Any, path: Path, report: Reports) -> tuple[ListedImages, Path]:
    """The images and boxes, and the folder that the images' names are relative to."""
    listed, labels = ListedImages("object"), _label_names(dataset)
    listed.declare(labels)
    items = [(item, _file(item)) for item in dataset]
    files = [Path(os.path.abspath(file)) for _, file in items if file is not None]
    common = os.path.commonpath([file.parent for file in files]) if files else path
    folder = Path(common)
    without = [item.id for item, file in items if file is None]
    if without:
        text = f"{len(without)} images are not files of their own but within others, such as {without[0]}"
        report(
            path, "missing-image", f"{text}; they are left out. `datum convert` with --save-media makes files of them"
        )
    left_out: Counter[str] = Counter()
    attributes: Counter[str] = Counter()
    for item, file in items:
        if file is None:
            continue
        name, known = Path(os.path.abspath(file)).relative_to(folder).as_posix(), len(listed.names)
        size = item.media.size if item.media.has_size else None
        image = listed.image(name, path, (int(size[0]), int(size[1])) if size else None)
        if image < known:
            report(path, "duplicate", f"the image {name} is there again, as {item.id}; it is left out")
            continue
        for place, (box, label, ignore) in enumerate(_objects(item.annotations, left_out, attributes), start=1):
            if label is None or not 0 <= label < len(labels):
                report(path, "unknown-class", f"object {place} of {name}: no label; the box is left out")
            else:
                listed.add(image, place, box, labels[label], ignore=ignore)
    report.left_out_shapes(path, left_out)
    if attributes:
        most = ", ".join(f"{name} {count}" for name, count in attributes.most_common(10))
        report.note(path, "not-used", f"attributes are not used: {most}")
    return listed, folder


def _label_names(dataset: Any) -> list[str]:
    kinds = {kind.name: value for kind, value in dataset.categories().items()}
    return [str(entry.name) for entry in kinds["label"].items] if "label" in kinds else []


def _file(item: Any) -> str | None:
    """The file of an item's image; None where it has none of its own."""
    path = getattr(item.media, "path", None)
    return path if isinstance(path, str) and path else None


def _objects(
    annotations: Iterable[Any], left_out: Counter[str], attributes: Counter[str]
) -> list[tuple[tuple[float, float, float, float], int | None, bool]]:
    """The box, label and flag of each object; what has none is counted."""
    found: dict[Any, list[Any]] = {}
    for place, annotation in enumerate(annotations):
        kind = annotation.type.name
        if kind not in _BOXES + _OUTLINES:
            left_out[kind] += 1
            continue
        flags = [name for name in _IGNORED if _is_true(annotation.attributes.get(name)) is not None]
        attributes.update(name for name in annotation.attributes if name not in flags)
        group = annotation.group or None
        found.setdefault((None, place) if group is None else (group, annotation.label), []).append(annotation)
    objects = []
    for parts in found.values():
        boxes = [part for part in parts if part.type.name in _BOXES]
        for several in [[box] for box in boxes] or [parts]:
            corners = [c for x, y, w, h in (part.get_bbox() for part in several) for c in ((x, y), (x + w, y + h))]
            x1, y1, x2, y2 = map(float, around(corners))
            ignore = any(_is_true(part.attributes.get(name)) for part in several for name in _IGNORED)
            objects.append(((x1, y1, x2, y2), several[0].label, ignore))
    return objects


def _is_true(value: Any) -> bool | None:
    """The meaning of a flag; None where it has none."""
    text = str(value).lower()
    return text in _TRUE if text in _TRUE + _FALSE else None
