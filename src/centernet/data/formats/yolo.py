"""YOLO's format (https://docs.ultralytics.com/datasets/detect/), what most tools export.

An image without a label file, or with an empty one, is an example of background: so the format says.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...annotations.image_names import Endings
from ...annotations.keypoints import keypoint_column
from ...annotations.problems import DataError, Reports, choose_class_names, note_read, opening
from ...annotations.text import filled_lines
from ...annotations.yolo import LabelRows, label_paths
from ...annotations.yolo_files import DataFile, compare_notes, ends, is_names_file
from ...images import ImageError, list_images, walk_files, walk_images
from ..columns import Columns
from ..dataset import DetectionDataset
from ..fields import filled
from .layout import Folder, ImageList, rows_asked_for
from .yolo_layout import data_file_in, is_absent, locate, root_of_names, splits_by_layout

_SAMPLED = 200  # names of a list by which it is seen what they are relative to


class YOLO(DetectionDataset):
    """A data set in YOLO's format.

    Of polygons and oriented boxes the boxes around them are taken; where they are mixed with boxes that is named once,
    since a row that lost its end may look like one. Key points (``kpt_shape``, ``flip_idx`` and ``kpt_names`` of the
    ``data.yaml``) are the field ``keypoints``. No path in a file may lead out of the root.

    Args:
        data: the ``data.yaml``; Darknet's ``.data`` file; a list of class names, one a line, in or beside the folder of
            the labels (``classes.txt``); or the folder that one of these is in.
        split: ``train``, ``val`` or ``test``. Its value in the file is a folder, a text file with one image a line, or
            a list of these; beside a list of names all images are ``train`` where no folder or list is named so.
        root: the folder of the data; None finds it: see `yolo_layout.locate`.
        images: the folder of the images, where they are not beside the labels.
        class_names: None takes all.
        keypoints: False leaves the key points out.
        strict: the first problem is an error.

    Attributes:
        without_labels: images that have no label file, not even an empty one. With no other image it is an error.
    """

    not_read = "the corners of polygons (the boxes around them are taken), scores and identities"

    def __init__(
        self,
        data: str | os.PathLike[str],
        split: str = "train",
        *,
        root: str | os.PathLike[str] | None = None,
        images: str | os.PathLike[str] | None = None,
        class_names: Sequence[str] | None = None,
        keypoints: bool = True,
        strict: bool = False,
    ) -> None:
        path, own_root = data_file_in(Path(data)) if Path(data).is_dir() else (Path(data), None)
        for name, folder in (("root", root), ("images", images)):
            if folder is not None and not Path(folder).is_dir():
                raise DataError(f"{folder}: no such folder; names in {path} are relative to `{name}` (--{name})")
        file = DataFile.read(path)
        given = own_root if root is None else Path(root)
        if is_names_file(path) and not file.splits:
            given = root_of_names(path) if given is None else given
            file = replace(file, splits=splits_by_layout(given))
        asked = choose_class_names(class_names, file.names, f"{path}: ", "names of the file")
        report = Reports(strict=strict)
        entries = file.entries(split)
        reader = _Reader(file, *locate(file, entries, given), None if images is None else Path(images), report)
        reader.read()
        if "test" in file.splits and is_absent(file, "test", given):
            report.note(
                path, "not-used", f"test is {', '.join(file.splits['test'])!r}, and nothing is there: no test data"
            )
        if is_names_file(path):
            compare_notes(file, report)
        columns = reader.finish(asked)
        self.without_labels = reader.label_files.count(None)
        fields = [] if file.skeleton is None or not keypoints else [keypoint_column(file.skeleton)]
        columns = replace(columns, data=filled(columns.data, fields, len(columns.labels)))
        super().__init__(asked, columns, source=f"{path}, {split}", fields=fields, **reader.images.findings())


class _Reader:
    """Reads one image after the other."""

    def __init__(self, file: DataFile, root: Path, places: list[Path], images: Path | None, report: Reports) -> None:
        self.file, self.root, self.places, self.report = file, root, places, report
        self.folder = Folder(root)  # of the labels
        self.elsewhere = images is not None
        self.images = ImageList(root if images is None else images, report)
        self.label_files: list[Path | None] = []  # of each image
        self.rows = LabelRows(range(file.first, file.first + len(file.names)), file.keypoints, report)
        self._seen: set[str] = set()
        self._listed = 0

    def read(self) -> None:
        """Read the folders of images, and the lists of them, of a split."""
        for place in self.places:
            if place.is_file():
                self._read_list(place)
            elif self.elsewhere:
                self._read_labels_in(place)
            else:
                self._read_folder(place)

    def finish(self, asked: Sequence[str]) -> Columns:
        """Return all that was read, and report what is known only in the end."""
        path = self.file.path
        if self._listed and not len(self.images) and not self.elsewhere:
            first = next((p.message for p in self.report.found if p.kind == "missing-image"), "")
            text = f"none of the {self._listed} images listed in {self.places[0]} is in {self.root}"
            raise DataError(f"{path}: {text} ({first}); give the folder that they are in as `images` (--images)")
        if self.label_files and not any(self.label_files):
            name = self.images.names[0]
            text = f"none of the {len(self.images)} images has a label file"
            hint = f"for {name} it would be {self.root / label_paths(name)[0]}"
            raise DataError(f"{path}: {text}; {hint}. For images without objects use ImageFolder")
        rows = self.rows.finish(path, lambda image: self.label_files[image] or path)
        rows = rows_asked_for(rows, self.file.names, asked, path, self.report)
        polygons = self.rows.polygons
        asked_for = set(zip(rows.images.tolist(), rows.places.tolist(), strict=True)) if polygons else set()
        polygons = [polygon for polygon in polygons if polygon in asked_for]
        if 0 < len(polygons) < len(rows):
            first = f"line {polygons[0][1]} of {self.label_files[polygons[0][0]]}"
            text = f"{len(polygons)} polygons among {len(rows) - len(polygons)} boxes, the first: {first}"
            self.report(path, "bad-row", f"{text}; the boxes around them are used")

        def where(row: int) -> tuple[Path, str]:
            return self.label_files[rows.images[row]] or path, f"line {rows.places[row]}"

        rounding = self.rows.rounding(rows.images, np.array(self.images.sizes).reshape(-1, 2))
        return self.images.columns(rows, where, rounding=rounding)

    def _read_folder(self, place: Path) -> None:
        """Read the images of a folder, and all folders in it."""
        inside = _inside(place, self.root)
        try:
            found = sorted(path.relative_to(place).as_posix() for path in list_images(place, recursive=True))
        except ImageError as error:
            labels = self.root / label_paths(f"{inside}/x.jpg")[0]
            hint = f"; the labels of {labels.parent} are there: give the folder of their images as `images` (--images)"
            raise DataError(f"{error}{hint if any(_label_files(labels.parent)) else ''}") from error
        names = [f"{inside}/{name}".removeprefix("./").lstrip("/") for name in found]
        for name in names:
            self._read_image(name, place, f"{name} is in two parts of the split")
        expected = {path.lower() for name in names for path in label_paths(name)}
        for folder in dict.fromkeys((self.root / path).parent for path in label_paths(f"{inside}/x.jpg".lstrip("/"))):
            for path in _label_files(folder) if folder != place else ():  # beside images other text files may lie
                if _inside(path, self.root).lower() not in expected:
                    self.report(path, "missing-image", "a label file without an image; it is not used")

    def _read_labels_in(self, place: Path) -> None:
        """Read the label files for a folder of images, which lie elsewhere."""
        note_read(place)  # which may be empty, or not there
        inside = _inside(place, self.root)
        folders = dict.fromkeys((self.root / path).parent for path in label_paths(f"{inside}/x.jpg".lstrip("/")))
        images = [_inside(path, self.images.folder.root) for path in walk_images(self.images.folder.root)]
        by_end = Endings(f"/{name.lower()}".rpartition(".")[0] for name in images)
        files = {path: folder for folder in folders for path in _label_files(folder)}
        for path, around in files.items():
            end = path.relative_to(around).with_suffix("").as_posix().lower()
            found = by_end.find(end) or by_end.find(path.stem.lower())
            if len(found) == 1:
                name = images[found[0]]
                self._read_image(name, path, f"{name} is the image of another label file too", path)
            else:
                text = f"{len(found)} images of {self.images.folder.root} have its name"
                self.report(path, "missing-image", f"a label file without an image: {text}; it is not used")

    def _read_list(self, source: Path) -> None:
        """Read a list of images. Their names are relative to the root, to the list, or to a folder elsewhere."""
        with opening(source):
            lines = filled_lines(source)
        within = source.absolute().is_relative_to(self.root.absolute())
        beside = _inside(source.parent, self.root) if within else "."
        names = {place: line.replace("\\", "/") for place, line in lines.items()}
        dropped = self._foreign_prefix(list(names.values())[:_SAMPLED], beside)
        self._listed += len(lines)
        for inside in (
            {end for name in names.values() for end in ends(name.rpartition("/")[0])} if self.elsewhere else ()
        ):
            note_read(self.root / inside)  # folders of the images, which may be empty
        for place, name in names.items():
            found = self._find_listed(name, beside)
            if found is None and dropped and name.startswith(dropped):
                found = self.images.folder.find(name[len(dropped) :])
            if found is None:
                found = self.images.find(name.removeprefix("./"), f"line {place} of {source.name}: ")
            if found is not None:
                labels = self._label_file(name if self.elsewhere else found)
                self._read_image(found, source, f"line {place} names {lines[place]!r} again", labels)

    def _find_listed(self, name: str, beside: str) -> str | None:
        """The image of a name in a list: relative to the root or to the list, of which ``./`` means the second."""
        find, inner = self.images.folder.find, name.removeprefix("./")
        places = (f"{beside}/{inner}", inner)
        return next(filter(None, map(find, places if name != inner else places[::-1])), None)

    def _foreign_prefix(self, names: Sequence[str], beside: str) -> str:
        """Return the folders of another machine or program that most names of a list begin with, if any."""
        prefixes: Counter[str] = Counter()
        for name in names:
            if self._find_listed(name, beside) is None and ".." not in name.split("/"):
                end = next((end for end in ends(name) if self.images.folder.find(end)), None)
                prefixes.update([] if end is None else [name[: len(name) - len(end)]])
        return max(prefixes, key=lambda prefix: prefixes[prefix], default="")

    def _label_file(self, name: str) -> Path | None:
        """The label file of an image by its name in the root; of one that is elsewhere, by the end of its name."""
        for end in ends(name) if self.elsewhere else [name]:
            for path in label_paths(end):
                if (found := self.folder.find(path)) is not None:
                    return self.root / found
        return None

    def _read_image(self, name: str, source: Path, again: str, labels: Path | None = None) -> None:
        if name in self._seen:
            self.report(source, "duplicate", f"{again}; it is used once")
            return
        self._seen.add(name)
        path = labels or self._label_file(name)
        try:
            lines = {} if path is None else filled_lines(path)
        except OSError as error:
            text = f"cannot be opened ({error.strerror}); the sample is left out"
            self.report(path or self.root, "unreadable-annotation", text)
            return
        index = self.images.add(name)
        if index >= 0:
            self.label_files.append(path)
            self.rows.read(lines, path or self.root, index, self.images.sizes[index])


def _inside(path: Path, root: Path) -> str:
    return path.absolute().relative_to(root.absolute()).as_posix()


def _label_files(folder: Path) -> list[Path]:
    """The label files of a folder and of those in it."""
    files = walk_files(folder) if folder.is_dir() else ()
    return sorted(path for path in files if path.suffix.lower() == ".txt" and not is_names_file(path))
