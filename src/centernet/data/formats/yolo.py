"""YOLO's format (https://docs.ultralytics.com/datasets/detect/), what most tools export.

An image without a label file, or with an empty one, is an example of background: so the format says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ...annotations.problems import DataError, Reports, choose_class_names, opening
from ...annotations.rows import RowList
from ...annotations.text import filled_lines
from ...annotations.yolo import DataYaml, inside_path, label_path, read_labels
from ...images import ImageError, list_images
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import ImageList, missing, rows_asked_for

_NO_LABELS = {"classes.txt", "obj.names", "labels.txt"}  # lists of names that tools put among the label files


class YOLO(DetectionDataset):
    """A data set in YOLO's format.

    Of polygons the boxes around them are taken; where they are mixed with boxes that is named once, since a row that
    lost its end may look like one. No path in a file may lead out of the root.

    Args:
        data: the ``data.yaml``, or the folder that it is in.
        split: ``train``, ``val`` or ``test``, a key of data.yaml; its value is a folder, a text file with one image a
            line, or a list of these.
        root: the folder of the data; None takes that of data.yaml, or ``path`` inside it.
        class_names: None takes all.
        strict: the first problem is an error.

    Attributes:
        without_labels: images that have no label file, not even an empty one. With no other image it is an error.
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
        file = DataYaml.read(path)
        asked = choose_class_names(class_names, file.names, f"{path}: ", "names of the file")
        if root is not None and not Path(root).is_dir():
            raise DataError(f"{root}: no such folder; `root` is the folder that the splits of {path} are relative to")
        reader = _Reader(file, ImageList(file.root() if root is None else Path(root), Reports(strict=strict)))
        for entry in file.entries(split):
            reader.read_split(entry)
        columns = reader.finish(asked)
        self.without_labels = reader.label_files.count(None)
        super().__init__(asked, columns, source=f"{path}, {split}", **reader.images.findings())


class _Reader:
    """Reads one image after the other."""

    def __init__(self, file: DataYaml, images: ImageList) -> None:
        self.file, self.images, self.report, self.root = file, images, images.report, images.folder.root
        self.label_files: list[Path | None] = []  # of each image
        self._rows = RowList()
        self._polygons: list[tuple[int, int]] = []  # image and line
        self._seen: set[str] = set()

    def read_split(self, entry: str) -> None:
        """Read a folder of images, or a list of them."""
        inside = inside_path(entry)
        target = self.root / (inside or "")
        if inside is None or not target.exists():
            what = "leads out of the data set" if inside is None else f"is not in {self.root}"
            raise DataError(f"{self.file.path}: {entry!r} {what}; give the folder that it is meant to be in as `root`")
        if target.is_file():
            with opening(target):
                lines = filled_lines(target)
            for place, line in lines.items():
                self._read_listed(line, target, place)
            return
        try:
            names = [path.relative_to(self.root).as_posix() for path in list_images(target, recursive=True)]
        except ImageError as error:
            raise DataError(str(error)) from error
        for name in names:
            self._read_image(name, target, f"{name} is in two parts of the split")
        self._look_for_orphans(inside, names)

    def finish(self, asked: Sequence[str]) -> Columns:
        """Return all that was read, and report what is known only in the end."""
        path = self.file.path
        rows = rows_asked_for(self._rows.rows(), self.file.names, asked, path, self.report)
        asked_for = set(zip(rows.images.tolist(), rows.places.tolist(), strict=True)) if self._polygons else set()
        polygons = [polygon for polygon in self._polygons if polygon in asked_for]
        if 0 < len(polygons) < len(rows):
            first = f"line {polygons[0][1]} of {self.label_files[polygons[0][0]]}"
            text = f"{len(polygons)} polygons among {len(rows) - len(polygons)} boxes, the first: {first}"
            self.report(path, "bad-row", f"{text}; the boxes around them are used")
        if self.label_files and not any(self.label_files):
            name = self.images.names[0]
            hint = f"for {name} it would be {self.root / label_path(name)}. For images without objects use ImageFolder"
            raise DataError(f"{path}: none of the {len(self.images)} images has a label file; {hint}")

        def where(row: int) -> tuple[Path, str]:
            return self.label_files[rows.images[row]] or path, f"line {rows.places[row]}"

        return self.images.columns(rows, where)

    def _read_listed(self, line: str, source: Path, place: int) -> None:
        """An image of a list, whose name is relative to the root, or to the list where it begins with ``./``."""
        name = line.replace("\\", "/")
        root = self.root
        if name.startswith("./") and source.parent != root:
            name = f"{source.parent.relative_to(root).as_posix()}/{name[2:]}"
        if Path(name).is_absolute() and Path(name).is_relative_to(root.absolute()):
            name = Path(name).relative_to(root.absolute()).as_posix()
        found = self.images.folder.find(name)
        if found is None:
            text = f"line {place} of {source.name}: {missing(name)}; it is left out"
            self.report(root / name, "missing-image", text)
        else:
            self._read_image(found, source, f"line {place} names {line!r} again")

    def _read_image(self, name: str, source: Path, again: str) -> None:
        if name in self._seen:
            self.report(source, "duplicate", f"{again}; it is used once")
            return
        self._seen.add(name)
        found = self.images.folder.find(label_path(name))
        path = None if found is None else self.root / found
        try:
            lines = {} if path is None else filled_lines(path)
        except OSError as error:
            text = f"cannot be opened ({error.strerror}); the sample is left out"
            self.report(path or self.root, "unreadable-annotation", text)
            return
        index = self.images.add(name)
        if index >= 0:
            self.label_files.append(path)
            size_hw, classes = self.images.sizes[index], len(self.file.names)
            polygons = read_labels(lines, path or self.root, index, size_hw, classes, self._rows, self.report)
            self._polygons += [(index, line) for line in polygons]

    def _look_for_orphans(self, inside: str, names: Sequence[str]) -> None:
        """Report label files of a folder that belong to no image."""
        labels = PurePosixPath(label_path(f"{inside}/x.jpg".lstrip("/"))).parent
        if labels == PurePosixPath(inside):
            return  # beside the images: other text files may lie there
        expected = {label_path(name).lower() for name in names}
        for path in sorted((self.root / labels).rglob("*.txt")):
            name = path.relative_to(self.root).as_posix()
            if path.name.lower() not in _NO_LABELS and name.lower() not in expected:
                self.report(path, "missing-image", "a label file without an image; it is not used")
