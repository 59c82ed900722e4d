"""Pascal VOC (The PASCAL Visual Object Classes Challenge; http://host.robots.ox.ac.uk/pascal/VOC).

Layout::

    root/ImageSets/Main/train.txt    one stem a line
    root/Annotations/<stem>.xml
    root/JPEGImages/<stem>.jpg       or any other kind of image, in upper or lower case
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...annotations.problems import DataError, Reports, UnknownKeys, check_class_names, with_nearest
from ...annotations.rows import RowList
from ...annotations.text import text_lines
from ...annotations.voc import VOC_CLASSES, VocObject, read_voc
from ...images import IMAGE_SUFFIXES
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import Folder, ImageList, header_size


class VOC(DetectionDataset):
    """A folder in Pascal VOC's layout.

    What is wrong in it is left out and named in `problems` (and in one warning): a missing picture or XML file and a
    file that cannot be parsed leave out the sample; an unknown class and a box that is inverted, without area, outside
    its picture or no number leave out the box. A picture size of 0×0 is read from the picture. Boxes that reach over
    the edge are cut there.

    Args:
        root: the folder that holds ``Annotations`` and ``JPEGImages``.
        split: the name of a list in ``ImageSets/Main``, or None for all files.
        class_names: the classes in the order of their labels; None takes the names that occur, sorted (all twenty of
            VOC's where most of these occur and no other).
        rename: other names for classes of the files, such as ``{helmets: helmet}``; several may get the same name.
        difficult: objects marked difficult are to ``ignore``, or to ``keep`` like any other.
        strict: the first problem is an error.

    Raises:
        DataError: no such folder or split, or no usable image; with `strict` any problem.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = "train",
        *,
        class_names: Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        difficult: Literal["ignore", "keep"] = "ignore",
        strict: bool = False,
    ) -> None:
        reader = _Reader(Path(root), class_names, rename or {}, ignore_difficult=difficult == "ignore", strict=strict)
        source, stems = reader.list_stems(split)
        used = [stem for stem in stems if reader.read(stem, source)]
        columns, names = reader.finish(used)
        super().__init__(
            names,
            columns,
            source=source,
            problems=reader.report.found,
            strict=strict,
            clipped=reader.images.clipped,
        )


class _Reader:
    """Reads one sample after the other."""

    def __init__(
        self,
        root: Path,
        class_names: Sequence[str] | None,
        rename: Mapping[str, str],
        *,
        ignore_difficult: bool,
        strict: bool,
    ) -> None:
        self.root = root
        self.rename = rename
        self.given = None if class_names is None else check_class_names(class_names)
        self.ignore_difficult = ignore_difficult
        self.report = Reports(strict=strict)
        self.images = ImageList(root / "JPEGImages")
        self._annotations = Folder(root / "Annotations")
        self._files = Folder(root / "JPEGImages")
        self._keys = UnknownKeys(["difficult"])
        self._rows = RowList()
        self._names: dict[str, int] = {}  # a number for each class as the files spell it
        self._xml: list[str] = []  # of each image
        image_of: dict[str, str] = {}
        for name in reversed(sorted(set(self._files.listing().values()))):  # of a.jpg and a.png the first counts
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in IMAGE_SUFFIXES:
                image_of[stem] = name
        self._image_of = {stem.lower(): name for stem, name in image_of.items()} | image_of

    def read(self, stem: str, source: Path) -> bool:
        """Read a sample. Returns True if it could be used."""
        image = self._image_of.get(stem) or self._image_of.get(stem.lower())
        xml = self._annotations.find(f"{stem}.xml")
        if image is None and xml is None:
            text = f"{stem!r} has neither an image nor an XML file; the sample is left out"
            self.report(source, "missing-image", text)
            return False
        if image is None:
            path = self._files.root / f"{stem}.jpg"
            self.report(path, "missing-image", "no image for its XML file; the sample is left out")
            return False
        if xml is None:
            text = "no XML file for its image; the sample is left out (an image without objects needs an empty one)"
            self.report(self._annotations.root / f"{stem}.xml", "missing-annotation", text)
            return False
        file = read_voc(self._annotations.root / xml, self.report)
        if file is None:
            return False
        size_hw = file.size_hw or header_size(
            self._files.root / image, f"{xml} gives no size, or 0×0, in <size>", self.report
        )
        if size_hw is None:
            return False
        number = self.images.add(image, size_hw)
        self._xml.append(xml)
        for place, entry in enumerate(file.objects, start=1):
            self._keys.look(entry.keys, f"{xml}, object {place}")
            self._add(number, place, entry)
        return True

    def _add(self, image: int, place: int, entry: VocObject) -> None:
        name = self.rename.get(entry.name, entry.name)
        if not name or (self.given is not None and name not in self.given):
            known = f"; class_names is {', '.join(self.given)}" if self.given else ""
            wrong = "unknown-class", f"the class {with_nearest([name], self.given or ())} is not known{known}"
        elif entry.box is None:
            wrong = "bad-box", "no <bndbox> with numbers xmin ymin xmax ymax"
        else:
            label = self._names.setdefault(entry.name, len(self._names))
            self._rows.add(image, place, entry.box, label, ignore=self.ignore_difficult and entry.difficult)
            return
        path, where = self._annotations.root / self._xml[image], _where(place, entry.name)
        self.report(path, wrong[0], f"{where}: {wrong[1]}; the box is left out")

    def finish(self, stems: Sequence[str]) -> tuple[Columns, tuple[str, ...]]:
        """Return all that was read, and the classes: those given, or those found in a stable order.

        Images are numbered by their names where all are different numbers (as in VOC), else from 0.
        """
        self._keys.report(self._annotations.root, self.report)
        numbers = [int(stem) for stem in stems if stem.isdecimal()]
        image_ids = numbers if len(set(numbers)) == len(stems) else None
        rows, spelt = self._rows.rows(), list(self._names)

        def where(row: int) -> tuple[Path, str]:
            path = self._annotations.root / self._xml[int(rows.images[row])]
            return path, _where(int(rows.places[row]), spelt[int(rows.labels[row])])

        columns = self.images.columns(rows, where, self.report, image_ids=image_ids, first_pixel=1)
        meant = [self.rename.get(name, name) for name in spelt]
        names = self.given
        if names is None:
            names = tuple(sorted({meant[label] for label in np.unique(columns.labels).tolist()}))
            if len(names) > 10 and set(names) <= set(VOC_CLASSES):
                names = VOC_CLASSES
        new_labels = np.array([names.index(name) if name in names else -1 for name in meant], dtype=np.int64)
        return replace(columns, labels=new_labels[columns.labels]), names

    def list_stems(self, split: str | None) -> tuple[Path, Iterable[str]]:
        """Return where the samples are listed, and their stems in that order."""
        root, annotations = self.root, self._annotations.root
        for folder in (annotations, self._files.root):
            if not folder.is_dir():
                inside = sorted(str(path.parent.relative_to(root)) for path in root.glob("*/Annotations"))
                inside += sorted(str(path.parent.relative_to(root)) for path in root.glob("*/*/Annotations"))
                hint = f"give one of its subfolders as the root: {', '.join(inside)}" if inside else "check `root`"
                text = f"no such folder, expected VOC's layout with Annotations and JPEGImages; {hint}"
                raise DataError(f"{folder}: {text}")
        if split is None:
            listing = self._annotations.listing().values()
            stems = {Path(name).stem for name in listing if name.lower().endswith(".xml")}
            lower = {stem.lower() for stem in stems}
            stems |= {Path(name).stem for stem, name in self._image_of.items() if stem.lower() not in lower}
            return annotations, sorted(stems)
        path = root / "ImageSets" / "Main" / f"{split}.txt"
        if not path.is_file():
            lists = sorted(file.stem for file in path.parent.glob("*.txt"))
            hint = f"the lists there are {with_nearest(lists, ())}" if lists else "there are none there"
            raise DataError(f"{path}: no such list; {hint}. split=None takes every file in {annotations}")
        in_order: dict[str, None] = {}
        for place, line in enumerate(text_lines(path), start=1):
            stem = line.strip()
            first, _, flag = stem.rpartition(" ")
            if flag in ("-1", "0", "1") and stem not in self._image_of:  # VOC's lists for one class: "000012 -1"
                stem = first.strip()
            if stem in in_order:
                self.report(path, "duplicate", f"line {place} names {stem!r} again; it is used once")
            elif stem:
                in_order[stem] = None
        return path, in_order


def _where(place: int, name: str) -> str:
    return f"object {place} ({name or 'without a name'})"
