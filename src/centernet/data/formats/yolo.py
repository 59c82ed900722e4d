"""YOLO's text files with their ``data.yaml`` (https://docs.ultralytics.com/datasets/detect/), what most tools export.

Layouts::

    root/data.yaml                      train: images/train, names: [cat, dog]
    root/images/train/a.jpg             root/train/images/a.jpg
    root/labels/train/a.txt             root/train/labels/a.txt

The label file of a picture has its name, in the folder where the last ``images`` of the path is ``labels``. A row is
class, centre x, centre y, width, height, the latter four in shares of the picture; or class and the corners of a
polygon. A picture without a file, or with an empty one, is an example of background: so the format says.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from ...images import ImageError, list_images
from ..dataset import DetectionDataset
from ..sample import DataError
from .reading import (
    Folder,
    Reports,
    Rows,
    check_class_names,
    judge_box,
    number,
    own_size,
    text_lines,
    whole,
    with_nearest,
)

_NO_LABELS = {"classes.txt", "obj.names", "labels.txt"}  # lists of names that tools put among the label files


class YOLO(DetectionDataset):
    """A data set in YOLO's format.

    What is wrong in it is left out and named in `problems` (and in one warning): a missing or unreadable picture leaves
    out the sample; a row that isn't one class and four numbers (or a polygon), a class that data.yaml doesn't name, and
    a box that is inverted, without area or outside its picture leave out the box; a label file without a picture is
    named. Boxes that reach over the edge are cut there. Of polygons the boxes around them are taken; where they are
    mixed with boxes that is named once, since a row that lost its end may look like one.

    No file may lead out of the root: neither ``path`` nor the splits of data.yaml, nor the lines of a list of pictures.

    Args:
        data: the ``data.yaml``, or the folder that it is in.
        split: ``train``, ``val`` or ``test``, a key of data.yaml; its value is a folder, a text file with one picture a
            line, or a list of these.
        root: the folder of the data; None takes that of data.yaml, or ``path`` inside it.
        class_names: the classes in the order of their labels; boxes of others are left out and counted. None takes all.
        strict: the first problem is an error.

    Attributes:
        without_labels: pictures that have no label file, not even an empty one.

    Raises:
        DataError: no such file or split, no readable YAML, or no usable image, or none with labels where the files of
            labels are expected; with `strict` any problem.
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        split: str = "train",
        *,
        root: str | os.PathLike[str] | None = None,
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path = Path(data) / "data.yaml" if Path(data).is_dir() else Path(data)
        content = _load(path)
        names = _names(content, path)
        asked = names if class_names is None else check_class_names(class_names)
        unknown = [name for name in asked if name not in names]
        if unknown:
            raise DataError(
                f"{path}: class_names has {with_nearest(unknown, names)}, "
                f"but the names of the file are {', '.join(names)}"
            )
        reader = _Reader(_root(path, content, root), names, asked, Reports(strict=strict))
        for entry in _entries(content, split, path):
            reader.read_split(entry, path)
        reader.finish(path)
        rows, found = reader.rows, reader.report.found
        self.without_labels = reader.without_labels
        columns = rows.columns(reader.folder.root)
        super().__init__(asked, columns, source=f"{path}, {split}", problems=found, strict=strict, clipped=rows.clipped)


class _Reader:
    """Reads one picture after the other into `rows`."""

    def __init__(self, root: Path, names: Sequence[str], asked: Sequence[str], report: Reports) -> None:
        self.folder = Folder(root)
        self.names = names
        self.label_of = {name: label for label, name in enumerate(asked)}
        self.report = report
        self.rows = Rows()
        self.without_labels = 0
        self._seen: set[str] = set()
        self._not_asked_for: Counter[str] = Counter()
        self._boxes = 0
        self._polygons: list[str] = []

    def read_split(self, entry: str, source: Path) -> None:
        """A folder of pictures, or a list of them."""
        inside = _inside(entry)
        target = None if inside is None else self.folder.root / inside
        if inside is None or target is None or not target.exists():
            what = "leads out of the data set" if inside is None else f"is not in {self.folder.root}"
            raise DataError(f"{source}: {entry!r} {what}; give the folder that it is meant to be in as `root`")
        if target.is_file():
            try:
                lines = text_lines(target)
            except OSError as error:
                raise DataError(f"{target}: cannot be opened ({error.strerror})") from error
            for place, line in enumerate(lines, start=1):
                if line.strip():
                    self._read_listed(line.strip(), target, place)
            return
        try:
            pictures = [path.relative_to(self.folder.root).as_posix() for path in list_images(target, recursive=True)]
        except ImageError as error:
            raise DataError(str(error)) from error
        for name in pictures:
            self._read_picture(name, target)
        self._look_for_orphans(inside, pictures)

    def finish(self, path: Path) -> None:
        """Report what is known only in the end.

        Raises:
            DataError: no picture has a label file.
        """
        self.report.left_out(path, self._not_asked_for)
        if self._polygons and self._boxes:
            text = f"{len(self._polygons)} polygons among {self._boxes} boxes, the first: {self._polygons[0]}"
            self.report(path, "bad-row", f"{text}; the boxes around them are used")
        if self.rows.names and self.without_labels == len(self.rows.names):
            first = self.rows.names[0].decode("utf-8", "surrogateescape")
            raise DataError(
                f"{path}: none of the {self.without_labels} pictures has a label file; for {first} it would be "
                f"{self.folder.root / _label_path(first)}. For pictures without objects use ImageFolder"
            )

    def _read_listed(self, line: str, source: Path, place: int) -> None:
        """A picture of a list, whose name is relative to the root, or to the list where it begins with ``./``."""
        name = line.replace("\\", "/")
        root = self.folder.root
        if name.startswith("./") and source.parent != root:
            name = f"{source.parent.relative_to(root).as_posix()}/{name[2:]}"
        if Path(name).is_absolute() and Path(name).is_relative_to(root.absolute()):
            name = Path(name).relative_to(root.absolute()).as_posix()
        found = self.folder.find(name)
        if found is None:
            climbs = ".." in Path(name).parts or Path(name).is_absolute()
            reason = "leads out of the data set, which is refused" if climbs else "no such file"
            self.report(root / name, "missing-image", f"line {place} of {source.name}: {reason}; it is left out")
        elif found in self._seen:
            self.report(source, "duplicate", f"line {place} names {line!r} again; it is used once")
        else:
            self._read_picture(found, source)

    def _read_picture(self, name: str, source: Path) -> None:
        if name in self._seen:
            return self.report(source, "duplicate", f"{name} is in two parts of the split; it is used once")
        self._seen.add(name)
        size_hw = own_size(self.folder.root / name, self.report)
        if size_hw is None:
            return None
        label_name = self.folder.find(_label_path(name))
        if label_name is None:
            self.without_labels += 1
        else:
            path = self.folder.root / label_name
            try:
                lines = text_lines(path)
            except OSError as error:
                text = f"cannot be opened ({error.strerror}); the sample is left out"
                return self.report(path, "unreadable-annotation", text)
            for place, line in enumerate(lines, start=1):
                if line.strip():
                    self._read_row(path, place, line, size_hw)
        return self.rows.add_image(name, len(self.rows.names), size_hw)

    def _read_row(self, path: Path, place: int, line: str, size_hw: tuple[int, int]) -> None:
        def leave_out(kind: str, reason: str) -> None:
            self.report(path, kind, f"line {place}: {reason}; the box is left out")

        fields = line.split()
        try:
            kind, values = whole(fields[0]), [number(field) for field in fields[1:]]
        except ValueError:
            return leave_out("bad-row", f"{line.strip()!r:.100} is no class and numbers")
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            return leave_out("bad-row", f"{len(fields)} numbers, expected 5 (class x y width height) or a polygon")
        if not 0 <= kind < len(self.names):
            return leave_out("unknown-class", f"the class {kind} is none of 0 .. {len(self.names) - 1}")
        height, width = size_hw
        if len(values) == 4:
            x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
            box = x - w / 2, y - h / 2, x + w / 2, y + h / 2
        elif all(map(math.isfinite, values)):
            across, down = [x * width for x in values[::2]], [y * height for y in values[1::2]]
            box = min(across), min(down), max(across), max(down)
        else:
            return leave_out("bad-box", "the polygon has corners that are no finite numbers")
        wrong = judge_box(box, size_hw)
        if wrong is not None:
            hint = "; numbers are shares of the picture, 0 .. 1" if max(map(abs, values)) > 2 else ""
            return leave_out(wrong[0], wrong[1] + hint)
        if self.names[kind] not in self.label_of:
            self._not_asked_for[self.names[kind]] += 1
            return None
        if len(values) == 4:
            self._boxes += 1
        else:
            self._polygons.append(f"line {place} of {path}")
        return self.rows.add_box(box, size_hw, label=self.label_of[self.names[kind]])

    def _look_for_orphans(self, inside: str, pictures: Sequence[str]) -> None:
        """Report label files of a folder that belong to no picture."""
        labels = PurePosixPath(_label_path(f"{inside}/x.jpg".lstrip("/"))).parent
        if labels == PurePosixPath(inside):
            return  # beside the pictures: other text files may lie there
        expected = {_label_path(name).lower() for name in pictures}
        for path in sorted((self.folder.root / labels).rglob("*.txt")):
            name = path.relative_to(self.folder.root).as_posix()
            if path.name.lower() not in _NO_LABELS and name.lower() not in expected:
                self.report(path, "missing-image", "a label file without a picture; it is not used")


def _load(path: Path) -> dict[str, Any]:
    """The file's keys; all values are text, so that a class ``no`` stays one."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check `data`") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path}: not valid YAML ({error})") from error
    if not isinstance(content, dict) or "names" not in content:
        got = f"the keys {', '.join(map(str, content))}" if isinstance(content, dict) else f"{reprlib.repr(content)}"
        raise DataError(f"{path}: expected the keys names and train, val or test, got {got:.200}")
    return content


def _names(content: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    names = content["names"]
    if isinstance(names, dict):
        if set(names) != {str(label) for label in range(len(names))}:
            raise DataError(f"{path}: names has the keys {', '.join(map(str, names))}, expected 0 .. {len(names) - 1}")
        names = [names[str(label)] for label in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{path}: names is {reprlib.repr(names)}, expected a list of names, or numbers from 0 with names"
        )
    if content.get("nc", str(len(names))) != str(len(names)):
        raise DataError(
            f"{path}: nc is {reprlib.repr(content['nc'])}, but there are {len(names)} names; put one of them right"
        )
    return check_class_names(names)


def _root(path: Path, content: Mapping[str, Any], given: str | os.PathLike[str] | None) -> Path:
    if given is not None:
        if not Path(given).is_dir():
            raise DataError(f"{given}: no such folder; `root` is the folder that the splits of {path} are relative to")
        return Path(given)
    stated = content.get("path")
    inside = _inside(stated) if isinstance(stated, str) else None
    return path.parent / inside if inside and (path.parent / inside).is_dir() else path.parent


def _entries(content: Mapping[str, Any], split: str, path: Path) -> list[str]:
    found = content.get(split)
    if split == "val" and found is None:
        found = content.get("valid")
    entries = found if isinstance(found, list) else [found]
    if not entries or not all(isinstance(entry, str) and entry for entry in entries):
        there = [key for key in ("train", "val", "test") if content.get(key)]
        raise DataError(
            f"{path}: the split {split!r} is {reprlib.repr(found)}; the splits there are {', '.join(there) or 'none'}"
        )
    return [str(entry) for entry in entries]


def _inside(entry: str) -> str | None:
    """A path of data.yaml without the ``../`` that exports begin with; None where it leads elsewhere."""
    text = entry.strip().replace("\\", "/")
    while text.startswith(("./", "../")):
        text = text.partition("/")[2]
    parts = PurePosixPath(text).parts
    return None if ".." in parts or text.startswith("/") or ":" in (*parts, "")[0] else "/".join(parts)


def _label_path(name: str) -> str:
    """Where the labels of a picture are."""
    path = PurePosixPath(name)
    parts = list(path.with_suffix(".txt").parts)
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return "/".join(parts)
