"""YOLO's text files with their ``data.yaml`` (https://docs.ultralytics.com/datasets/detect/).

A row is class, centre x, centre y, width, height in shares of the image; or class and the corners of a polygon.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from ..boxes import xyxy_to_cxcywh
from .problems import DataError, Reports, check_class_names, opening
from .rows import RowList, are_usable, describe_fault
from .text import number


@dataclass(frozen=True)
class DataYaml:
    """The contents of a data.yaml; all values are text, so that a class ``no`` stays one."""

    path: Path
    names: tuple[str, ...]
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> DataYaml:
        """Read the file."""
        with opening(path, "data"):
            data = path.read_bytes()
        try:
            content = yaml.load(data.decode("utf-8-sig"), Loader=yaml.BaseLoader)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise DataError(f"{path}: not valid YAML ({error})") from error
        if not isinstance(content, dict) or "names" not in content:
            got = f"the keys {', '.join(map(str, content))}" if isinstance(content, dict) else reprlib.repr(content)
            raise DataError(f"{path}: expected the keys names and train, val or test, got {got:.200}")
        names = content["names"]
        if isinstance(names, dict):
            numbers = [str(label) for label in range(len(names))]
            if set(names) != set(numbers):
                keys = ", ".join(map(str, names))
                raise DataError(f"{path}: names has the keys {keys}, expected 0 .. {len(names) - 1}")
            names = [names[label] for label in numbers]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            text = "expected a list of names, or numbers from 0 with names"
            raise DataError(f"{path}: names is {reprlib.repr(names)}, {text}")
        if (count := content.get("nc", str(len(names)))) != str(len(names)):
            text = f"but there are {len(names)} names; put one of them right"
            raise DataError(f"{path}: nc is {reprlib.repr(count)}, {text}")
        return cls(path, check_class_names(names), content)

    def entries(self, split: str) -> list[str]:
        """Return the folders and lists of images of a split."""
        found = self.content.get(split, self.content.get("valid") if split == "val" else None)
        entries = found if isinstance(found, list) else [found]
        if not entries or not all(isinstance(entry, str) and entry for entry in entries):
            there = ", ".join(key for key in ("train", "val", "test") if self.content.get(key)) or "none"
            text = f"the split {split!r} is {reprlib.repr(found)}; the splits there are {there}"
            raise DataError(f"{self.path}: {text}")
        return [str(entry) for entry in entries]

    def root(self) -> Path:
        """Return the folder of the data: ``path`` inside that of the file, where there is one, or that of the file."""
        folder = self.path.parent / (inside_path(str(self.content.get("path", ""))) or "")
        return folder if folder.is_dir() else self.path.parent


def inside_path(entry: str) -> str | None:
    """Return a path of data.yaml without the ``../`` that exports begin with; None where it leads elsewhere."""
    text = entry.strip().replace("\\", "/")
    while text.startswith(("./", "../")):
        text = text.partition("/")[2]
    parts = PurePosixPath(text).parts
    return None if ".." in parts or text.startswith("/") or ":" in (*parts, "")[0] else "/".join(parts)


def label_path(name: str) -> str:
    """Return where the labels of an image are: its name, in the folder where the last ``images`` is ``labels``."""
    *folders, file = PurePosixPath(name).with_suffix(".txt").parts
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return "/".join([*folders, file])


def read_labels(
    lines: Mapping[int, str],
    path: Path,
    image: int,
    size_hw: tuple[int, int],
    num_classes: int,
    rows: RowList,
    report: Reports,
) -> list[int]:
    """Append the boxes of an image to `rows`; `places` are lines. Returns the lines of polygons, taken as boxes."""
    polygons = []
    for place, line in lines.items():
        fields = line.split()
        try:
            kind, *values = map(number, fields)
        except ValueError:
            kind, values = math.nan, []
        polygon = len(values) >= 6 and len(values) % 2 == 0
        wrong = None
        if not kind.is_integer():
            wrong = "bad-row", f"{line!r:.100} is no class and numbers"
        elif len(values) != 4 and not polygon:
            wrong = "bad-row", f"{len(fields)} numbers, expected 5 (class x y width height) or a polygon"
        elif not 0 <= kind < num_classes:
            wrong = "unknown-class", f"the class {kind:.0f} is none of 0 .. {num_classes - 1}"
        elif polygon and not all(map(math.isfinite, values)):
            wrong = "bad-box", "the polygon has corners that are no finite numbers"
        else:
            box = _box(values, size_hw)
            if max(map(abs, values)) > 2 and not are_usable(np.array([box]), np.array([size_hw]))[0]:
                fault = describe_fault(box, size_hw)
                wrong = fault[0], f"{fault[1]}; numbers are shares of the image, 0 .. 1"
        if wrong is not None:
            report(path, wrong[0], f"line {place}: {wrong[1]}; the box is left out")
            continue
        polygons += [place] if polygon else []
        rows.add(image, place, box, int(kind))
    return polygons


def _box(values: Sequence[float], size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 in pixels of a row's numbers: centre, width and height, or the corners of a polygon."""
    height, width = size_hw
    if len(values) == 4:
        x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    across, down = [x * width for x in values[::2]], [y * height for y in values[1::2]]
    return min(across), min(down), max(across), max(down)


def write_yolo(
    folder: Path, split: str, names: Sequence[str], annotations: Iterable[Any], class_names: Sequence[str]
) -> Path:
    """Write labels/<split>/<stem>.txt, and the split's line in data.yaml. Boxes to ignore have no flag: give none.

    Arguments as for `write_coco`, stems all different; what else data.yaml says stays.
    """
    labels = folder / "labels" / split
    labels.mkdir(parents=True, exist_ok=True)
    for name, truth in zip(names, annotations, strict=True):
        shares = xyxy_to_cxcywh(truth.boxes.astype(float)) / ([truth.width, truth.height] * 2)
        rows = zip(truth.labels.tolist(), shares.tolist(), strict=True)
        lines = [f"{label} {' '.join(f'{value:.8f}' for value in box)}\n" for label, box in rows]
        (labels / name).with_suffix(".txt").write_text("".join(lines), encoding="utf-8")
    path = folder / "data.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    content = {**content, split: f"images/{split}", "names": dict(enumerate(class_names))}
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
