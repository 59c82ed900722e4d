"""Pascal VOC (The PASCAL Visual Object Classes Challenge; http://host.robots.ox.ac.uk/pascal/VOC)."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...annotations.conventions import look_misnumbered, look_normalised
from ...annotations.flags import Flags
from ...annotations.problems import DataError, Reports, UnknownKeys, check_class_names, check_option, with_nearest
from ...annotations.rows import RowList
from ...annotations.text import filled_lines
from ...annotations.voc import VOC_CLASSES, VocFile, read_voc
from ...images import walk_files
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import Folder, ImageList
from .voc_folders import ImagesByStem, open_folders, split_of


class VOC(DetectionDataset):
    """XML files in Pascal VOC's form, in its layout or any other of two folders or one.

    Args:
        root: the folder around everything; that which holds ``Annotations`` and ``JPEGImages`` in VOC's layout.
        split: the name of a list in ``ImageSets/Main``, or of a folder of the split; None takes all files.
        annotations: the folder of the XML files; None looks for ``Annotations``, else for one that has such files.
        images: the folder of the images; None looks for ``JPEGImages``, else for one with images of the same names. It
            may be that of the XML files.
        class_names: None takes the names that occur, sorted (all twenty of VOC's where most of these occur and no
            other). Boxes of other classes than these are left out, and counted.
        rename: other names for classes of the files, such as ``{helmets: helmet}``; several may get the same name.
        difficult: objects marked difficult are to ``ignore``, or to ``keep`` like any other.
        first_pixel: the number of an image's first pixel. VOC has 1, and the last pixel is part of a box; many programs
            write 0 and the edge behind the last.
        strict: the first problem is an error.
    """

    not_read = "pose, truncation, parts and segmentations"

    vocabulary: Sequence[str] | None = None
    """The classes that there are, where the format says so: any other is a problem."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = "train",
        *,
        annotations: str | os.PathLike[str] | None = None,
        images: str | os.PathLike[str] | None = None,
        class_names: Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        difficult: Literal["ignore", "keep"] = "ignore",
        first_pixel: Literal[0, 1] = 1,
        strict: bool = False,
    ) -> None:
        check_option("first_pixel", first_pixel in (0, 1), "0 or 1", first_pixel)
        root, given = Path(root), None if class_names is None else check_class_names(class_names)
        report = Reports(strict=strict)
        folder, image_folder, split = open_folders(root, split, annotations, images)
        files, found, listed = Folder(folder), ImagesByStem(image_folder), ImageList(image_folder, report)
        source, stems = _list_stems(root, split, files, found, report)
        ignore_difficult = difficult == "ignore"
        objects = _Objects(folder, given, rename or {}, ignore_difficult, first_pixel, self.vocabulary, report)
        taken: dict[str, str] = {}  # XML file by image
        used = []
        for stem in stems:
            image, xml = found.find(stem), files.find(f"{stem}.xml")
            if xml is None:
                if image is None:
                    text = f"{stem!r} has neither an image nor an XML file; the sample is left out"
                    report(source, "missing-image", text)
                elif split is not None:
                    report(folder / f"{stem}.xml", "missing-annotation", _NO_XML)
            elif (file := read_voc(folder / xml, report)) is None:
                taken.setdefault(found.find(stem) or "", xml)
            elif (image := found.find(stem, file.filename)) is None:
                text = f"no image for its XML file, by its name or by <filename> ({file.filename or 'not there'})"
                report(image_folder / f"{stem}.jpg", "missing-image", f"{text}; the sample is left out")
            elif image in taken:
                report(folder / xml, "duplicate", f"its image {image} is that of {taken[image]} too; it is left out")
            else:
                taken[image] = xml
                index = listed.add(image, file.size_hw, stated=f"{xml} gives no size, or 0×0, in <size>")
                if index >= 0:
                    used.append(stem)
                    objects.add(index, xml, file)
        if split is None:
            _report_without(found, taken, folder, image_folder, report)
        columns, names = objects.finish(listed, used)
        super().__init__(names, columns, source=source, **listed.findings())


def _report_without(
    images: ImagesByStem, taken: Mapping[str, str], folder: Path, image_folder: Path, report: Reports
) -> None:
    """Report images without an XML file; where one folder has those of all splits, no more than their number."""
    without = [image for image in images.names if image not in taken]
    if without and split_of(folder) != split_of(image_folder):
        text = f"{len(without)} images in {image_folder} have no XML file in {folder}: they are left to other splits"
        report.note(folder, "left-out-image", text)
        without = []
    xml_of = {os.path.splitext(image)[0]: xml for image, xml in taken.items()}
    for image in without:
        stem = os.path.splitext(image)[0]
        other = xml_of.get(stem)
        text = f"{image}: {other} is that of another image of this name; it is left out" if other else _NO_XML
        report(folder / f"{stem}.xml", "missing-annotation", text)


_NO_XML = "no XML file for its image; the sample is left out (an image without objects needs an empty one)"


class SafetyHelmet(VOC):
    """The Safety-Helmet-Wearing-Dataset (https://github.com/njvisionpower/Safety-Helmet-Wearing-Dataset).

    Options are those of `VOC`; the root may also be the folder above ``VOC2028``. In copies that are still about some
    boxes are of a class ``dog``; the author says that these are ``hat`` (issues/18 there), and they are read so.
    """

    vocabulary = ("hat", "person")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = "train",
        *,
        difficult: Literal["ignore", "keep"] = "ignore",
        strict: bool = False,
    ) -> None:
        root = inside if (inside := Path(root) / "VOC2028").is_dir() else root
        names, rename = self.vocabulary, {"dog": "hat"}
        super().__init__(root, split, class_names=names, rename=rename, difficult=difficult, strict=strict)


@dataclass
class _Objects:
    """Collects the objects of all files."""

    root: Path
    given: tuple[str, ...] | None
    rename: Mapping[str, str]
    ignore_difficult: bool
    first_pixel: int
    vocabulary: Sequence[str] | None
    report: Reports
    keys: UnknownKeys = field(default_factory=lambda: UnknownKeys(["difficult"]))
    difficult: Flags = field(default_factory=lambda: Flags("<difficult>", "objects like any other"))
    rows: RowList = field(default_factory=RowList)
    names: dict[str, int] = field(default_factory=dict)  # a number for each class as the files spell it
    xml: list[str] = field(default_factory=list)  # of each image
    left_out: Counter[str] = field(default_factory=Counter)
    turned: list[str] = field(default_factory=list)  # places of boxes around turned ones

    def add(self, image: int, xml: str, file: VocFile) -> None:
        """Append the objects of an image."""
        self.xml.append(xml)
        for place, entry in enumerate(file.objects, start=1):
            self.keys.look(entry.keys, f"{xml}, object {place}")
            name = self.rename.get(entry.name, entry.name)
            where = f"object {place} ({entry.name or 'without a name'})"
            if not name or (self.given is not None and name not in self.given):
                if name and not self._is_misspelt(name):
                    self.left_out[name] += 1
                    continue
                known = f"; class_names is {', '.join(self.given)}" if self.given else ""
                text = f"the class {with_nearest([name], self.given or ())} is not known{known}"
                self.report(self.root / xml, "unknown-class", f"{where}: {text}; the box is left out")
            elif entry.box is None:
                text = "no <bndbox> with numbers xmin ymin xmax ymax"
                self.report(self.root / xml, "bad-box", f"{where}: {text}; the box is left out")
            else:
                label = self.names.setdefault(entry.name, len(self.names))
                difficult = self.difficult.read(entry.difficult, ", ".join, (xml, where))
                x1, y1, x2, y2 = entry.box
                first = self.first_pixel if entry.turned else 0
                self.rows.add(
                    image, place, (x1 + first, y1 + first, x2, y2), label, ignore=self.ignore_difficult and difficult
                )
                self.turned += [f"{xml}, {where}"] if entry.turned else []

    def _is_misspelt(self, name: str) -> bool:
        """Tell if a class that was not asked for is no choice but a slip: one in other letters, or in the plural."""
        if self.vocabulary is not None:
            return True
        return _spelling(name) in map(_spelling, self.given or ())

    def finish(self, images: ImageList, stems: Sequence[str]) -> tuple[Columns, tuple[str, ...]]:
        """Return all boxes, and the classes: those given, or those found in a stable order."""
        self.keys.report(self.root, self.report)
        self.difficult.report(self.root, self.report)
        self.report.left_out(self.root, self.left_out)
        if self.turned:
            text = f"{len(self.turned)} objects have a <robndbox>, the first is {self.turned[0]}"
            self.report.note(self.root, "box-of-outline", f"{text}: the upright boxes around them are taken")
        # Images are numbered by their names where all are different numbers (as in VOC), else from 0.
        numbers = [int(stem) for stem in stems if stem.isdecimal()]
        image_ids = numbers if len(set(numbers)) == len(stems) else None
        rows, spelt = self.rows.rows(), list(self.names)
        sizes = np.array(images.sizes, dtype=np.float64).reshape(-1, 2)[rows.images]
        if shares := look_normalised(rows.boxes, sizes):
            self.report(self.root, "normalised-boxes", f"{shares}; write the corners in pixels")
        elif self.first_pixel and (other := look_misnumbered(rows.boxes, sizes, first=1)):
            self.report(self.root, "pixel-numbering", f"{other}; where that is so, say first_pixel: 0")

        def where(row: int) -> tuple[Path, str]:
            return self.root / self.xml[rows.images[row]], f"object {rows.places[row]} ({spelt[rows.labels[row]]})"

        columns = images.columns(rows, where, image_ids=image_ids, first_pixel=self.first_pixel, rounding=1.0)
        meant = [self.rename.get(name, name) for name in spelt]
        names = self.given
        if names is None:
            names = tuple(sorted({meant[label] for label in np.unique(columns.labels).tolist()}))
            names = VOC_CLASSES if len(names) > 10 and set(names) <= set(VOC_CLASSES) else names
        label_of = {name: label for label, name in enumerate(names)}
        new_labels = np.array([label_of.get(name, -1) for name in meant], dtype=np.int64)
        return replace(columns, labels=new_labels[columns.labels]), names


def _spelling(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower().removesuffix("s")


def _list_stems(
    root: Path, split: str | None, files: Folder, images: ImagesByStem, report: Reports
) -> tuple[Path, Iterable[str]]:
    """Return the place where the samples are listed, and their stems in that order."""

    def known(stem: str) -> bool:
        return files.find(f"{stem}.xml") is not None or stem in images

    if split is None:
        inside = (path.relative_to(files.root).as_posix() for path in walk_files(files.root))
        return files.root, sorted(os.path.splitext(name)[0] for name in inside if name.lower().endswith(".xml"))
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        lists = sorted(file.stem for file in path.parent.glob("*.txt"))
        hint = f"the lists there are {with_nearest(lists, ())}" if lists else "there are none there"
        raise DataError(f"{path}: no such list; {hint}. split=None takes every file in {files.root}")
    in_order: dict[str, None] = {}
    for place, stem in filled_lines(path).items():
        first, _, flag = stem.rpartition(" ")
        if flag in ("-1", "0", "1") and not known(stem):  # VOC's lists for one class: "000012 -1"
            stem = first.strip()
        if not known(stem) and known(bare := os.path.splitext(stem)[0]):  # with the suffix of the image
            stem = bare
        if stem in in_order:
            report(path, "duplicate", f"line {place} names {stem!r} again; it is used once")
        elif stem:
            in_order[stem] = None
    return path, in_order
