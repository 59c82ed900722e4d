"""Pascal VOC (The PASCAL Visual Object Classes Challenge; http://host.robots.ox.ac.uk/pascal/VOC)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...annotations.problems import DataError, Reports, UnknownKeys, check_class_names, note_read, with_nearest
from ...annotations.rows import RowList
from ...annotations.text import filled_lines
from ...annotations.voc import VOC_CLASSES, VocFile, read_voc
from ...images import IMAGE_SUFFIXES
from ..columns import Columns
from ..dataset import DetectionDataset
from .layout import Folder, ImageList, root_hint


class VOC(DetectionDataset):
    """A folder in Pascal VOC's layout.

    Args:
        root: the folder that holds ``Annotations`` and ``JPEGImages``.
        split: the name of a list in ``ImageSets/Main``, or None for all files.
        class_names: None takes the names that occur, sorted (all twenty of VOC's where most of these occur and no
            other).
        rename: other names for classes of the files, such as ``{helmets: helmet}``; several may get the same name.
        difficult: objects marked difficult are to ``ignore``, or to ``keep`` like any other.
        strict: the first problem is an error.
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
        root, given = Path(root), None if class_names is None else check_class_names(class_names)
        report = Reports(strict=strict)
        images, files = ImageList(root / "JPEGImages", report), Folder(root / "Annotations")
        image_of = _images_by_stem(images.folder, files, root)
        source, stems = _list_stems(root, split, files, image_of, report)
        objects = _Objects(files.root, given, rename or {}, difficult == "ignore", report)
        used = []
        for stem in stems:
            image, xml = image_of.get(stem) or image_of.get(stem.lower()), files.find(f"{stem}.xml")
            if image is None and xml is None:
                text = f"{stem!r} has neither an image nor an XML file; the sample is left out"
                report(source, "missing-image", text)
            elif image is None:
                note_read(files.root / str(xml))
                text = "no image for its XML file; the sample is left out"
                report(images.folder.root / f"{stem}.jpg", "missing-image", text)
            elif xml is None:
                text = "no XML file for its image; the sample is left out (an image without objects needs an empty one)"
                report(files.root / f"{stem}.xml", "missing-annotation", text)
            elif (file := read_voc(files.root / xml, report)) is not None:
                index = images.add(image, file.size_hw, stated=f"{xml} gives no size, or 0×0, in <size>")
                if index >= 0:
                    used.append(stem)
                    objects.add(index, xml, file)
        columns, names = objects.finish(images, used)
        super().__init__(names, columns, source=source, **images.findings())


class SafetyHelmet(VOC):
    """The Safety-Helmet-Wearing-Dataset (https://github.com/njvisionpower/Safety-Helmet-Wearing-Dataset).

    Options are those of `VOC`; the root may also be the folder above ``VOC2028``. In copies that are still about some
    boxes are of a class ``dog``; the author says that these are ``hat`` (issues/18 there), and they are read so.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = "train",
        *,
        difficult: Literal["ignore", "keep"] = "ignore",
        strict: bool = False,
    ) -> None:
        root = inside if (inside := Path(root) / "VOC2028").is_dir() else root
        names, rename = ("hat", "person"), {"dog": "hat"}
        super().__init__(root, split, class_names=names, rename=rename, difficult=difficult, strict=strict)


@dataclass
class _Objects:
    """Collects the objects of all files."""

    root: Path
    given: tuple[str, ...] | None
    rename: Mapping[str, str]
    ignore_difficult: bool
    report: Reports
    keys: UnknownKeys = field(default_factory=lambda: UnknownKeys(["difficult"]))
    rows: RowList = field(default_factory=RowList)
    names: dict[str, int] = field(default_factory=dict)  # a number for each class as the files spell it
    xml: list[str] = field(default_factory=list)  # of each image

    def add(self, image: int, xml: str, file: VocFile) -> None:
        """Append the objects of an image."""
        self.xml.append(xml)
        for place, entry in enumerate(file.objects, start=1):
            self.keys.look(entry.keys, f"{xml}, object {place}")
            name = self.rename.get(entry.name, entry.name)
            where = f"object {place} ({entry.name or 'without a name'})"
            if not name or (self.given is not None and name not in self.given):
                known = f"; class_names is {', '.join(self.given)}" if self.given else ""
                text = f"the class {with_nearest([name], self.given or ())} is not known{known}"
                self.report(self.root / xml, "unknown-class", f"{where}: {text}; the box is left out")
            elif entry.box is None:
                text = "no <bndbox> with numbers xmin ymin xmax ymax"
                self.report(self.root / xml, "bad-box", f"{where}: {text}; the box is left out")
            else:
                label = self.names.setdefault(entry.name, len(self.names))
                self.rows.add(image, place, entry.box, label, ignore=self.ignore_difficult and entry.difficult)

    def finish(self, images: ImageList, stems: Sequence[str]) -> tuple[Columns, tuple[str, ...]]:
        """Return all boxes, and the classes: those given, or those found in a stable order."""
        self.keys.report(self.root, self.report)
        # Images are numbered by their names where all are different numbers (as in VOC), else from 0.
        numbers = [int(stem) for stem in stems if stem.isdecimal()]
        image_ids = numbers if len(set(numbers)) == len(stems) else None
        rows, spelt = self.rows.rows(), list(self.names)

        def where(row: int) -> tuple[Path, str]:
            return self.root / self.xml[rows.images[row]], f"object {rows.places[row]} ({spelt[rows.labels[row]]})"

        columns = images.columns(rows, where, image_ids=image_ids, first_pixel=1)
        meant = [self.rename.get(name, name) for name in spelt]
        names = self.given
        if names is None:
            names = tuple(sorted({meant[label] for label in np.unique(columns.labels).tolist()}))
            names = VOC_CLASSES if len(names) > 10 and set(names) <= set(VOC_CLASSES) else names
        new_labels = np.array([names.index(name) if name in names else -1 for name in meant], dtype=np.int64)
        return replace(columns, labels=new_labels[columns.labels]), names


def _images_by_stem(images: Folder, files: Folder, root: Path) -> dict[str, str]:
    """Names of the images by their stems, and by their stems in lower case; of a.jpg and a.png the first counts."""
    for folder in (files.root, images.root):
        if not folder.is_dir():
            hint = root_hint(root, (path.parent for n in ("*", "*/*") for path in root.glob(f"{n}/Annotations")))
            text = "no such folder, expected VOC's layout with Annotations and JPEGImages"
            raise DataError(f"{folder}: {text}; {hint}")
    names = [name for name in sorted(set(images.listing().values())) if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    image_of = {os.path.splitext(name)[0]: name for name in reversed(names)}
    return {stem.lower(): name for stem, name in image_of.items()} | image_of


def _list_stems(
    root: Path, split: str | None, files: Folder, image_of: Mapping[str, str], report: Reports
) -> tuple[Path, Iterable[str]]:
    """Return the place where the samples are listed, and their stems in that order."""
    if split is None:
        stems = {Path(name).stem for name in files.listing().values() if name.lower().endswith(".xml")}
        lower = {stem.lower() for stem in stems}
        return files.root, sorted(stems | {Path(n).stem for stem, n in image_of.items() if stem.lower() not in lower})
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        lists = sorted(file.stem for file in path.parent.glob("*.txt"))
        hint = f"the lists there are {with_nearest(lists, ())}" if lists else "there are none there"
        raise DataError(f"{path}: no such list; {hint}. split=None takes every file in {files.root}")
    in_order: dict[str, None] = {}
    for place, stem in filled_lines(path).items():
        first, _, flag = stem.rpartition(" ")
        if flag in ("-1", "0", "1") and stem not in image_of:  # VOC's lists for one class: "000012 -1"
            stem = first.strip()
        if stem in in_order:
            report(path, "duplicate", f"line {place} names {stem!r} again; it is used once")
        elif stem:
            in_order[stem] = None
    return path, in_order
