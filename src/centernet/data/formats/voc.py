"""Pascal VOC: one XML file a picture (The PASCAL Visual Object Classes Challenge; http://host.robots.ox.ac.uk/pascal/VOC).

Layout::

    root/ImageSets/Main/train.txt    one stem a line
    root/Annotations/<stem>.xml
    root/JPEGImages/<stem>.jpg       or any other kind of picture, in upper or lower case

VOC numbers pixels from 1 and includes the last: x1 = xmin - 1, y1 = ymin - 1, x2 = xmax, y2 = ymax here. Numbers may
have decimals. The files are parsed by expat with any document type declaration refused, so no entity can be defined in
them (neither expanded a billion times nor read from another file).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ...images import IMAGE_SUFFIXES
from ..dataset import DetectionDataset
from ..sample import DataError
from .reading import (
    Folder,
    Reports,
    Rows,
    UnknownKeys,
    check_class_names,
    header_size,
    judge_box,
    number,
    text_lines,
    with_nearest,
)

_TWENTY = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow "
    "diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor"
)
_EDGES = ("xmin", "ymin", "xmax", "ymax")
VOC_CLASSES = tuple(_TWENTY.split())


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
        root = Path(root)
        reader = _Reader(root, class_names, rename or {}, ignore_difficult=difficult == "ignore", strict=strict)
        source, stems = _list_stems(root, split, reader)
        used = [stem for stem in stems if reader.read(stem, source)]
        reader.keys.report(reader.annotations.root, reader.report)
        reader.number_images(used)
        super().__init__(
            reader.final_class_names(),
            reader.rows.columns(root / "JPEGImages"),
            source=source,
            problems=reader.report.found,
            strict=strict,
            clipped=reader.rows.clipped,
        )


class _Reader:
    """Reads one sample after the other into `rows`."""

    def __init__(
        self,
        root: Path,
        class_names: Sequence[str] | None,
        rename: Mapping[str, str],
        *,
        ignore_difficult: bool,
        strict: bool,
    ) -> None:
        self.rename = rename
        self.keys = UnknownKeys(["difficult"])
        self.rows = Rows()
        self.report = Reports(strict=strict)
        self.pictures = Folder(root / "JPEGImages")
        self.annotations = Folder(root / "Annotations")
        self.given = None if class_names is None else check_class_names(class_names)
        self.labels = {name: label for label, name in enumerate(self.given or ())}
        self.ignore_difficult = ignore_difficult
        self.picture_of: dict[str, str] = {}
        for name in reversed(sorted(set(self.pictures.listing().values()))):  # of a.jpg and a.png the first counts
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in IMAGE_SUFFIXES:
                self.picture_of[stem] = name
        self.picture_of = {stem.lower(): name for stem, name in self.picture_of.items()} | self.picture_of

    def read(self, stem: str, source: Path) -> bool:
        """Whether the sample could be used."""
        picture = self.picture_of.get(stem) or self.picture_of.get(stem.lower())
        xml = self.annotations.find(f"{stem}.xml")
        if picture is None and xml is None:
            text = f"{stem!r} has neither a picture nor an XML file; the sample is left out"
            self.report(source, "missing-image", text)
            return False
        if picture is None:
            path = self.pictures.root / f"{stem}.jpg"
            self.report(path, "missing-image", "no picture for its XML file; the sample is left out")
            return False
        if xml is None:
            text = "no XML file for its picture; the sample is left out (a picture without objects needs an empty one)"
            self.report(self.annotations.root / f"{stem}.xml", "missing-annotation", text)
            return False
        path = self.annotations.root / xml
        try:
            tree = _parse(path.read_bytes())
        except (OSError, ValueError, LookupError, expat.ExpatError) as error:  # LookupError: an unknown encoding
            self.report(path, "unreadable-annotation", f"cannot be read as XML ({error}); the sample is left out")
            return False
        size_hw = _size(tree) or header_size(
            self.pictures.root / picture, f"{xml} gives no size, or 0×0, in <size>", self.report
        )
        if size_hw is None:
            return False
        for place, entry in enumerate(tree.iterfind("object"), start=1):
            self.keys.look((child.tag for child in entry), f"{xml}, object {place}")
            self._read_object(path, place, entry, size_hw)
        self.rows.add_image(picture, len(self.rows.names), size_hw)
        return True

    def _read_object(self, path: Path, place: int, entry: Element, size_hw: tuple[int, int]) -> None:
        name = (entry.findtext("name") or "").strip()
        where = f"object {place} ({name or 'without a name'})"
        name = self.rename.get(name, name)
        box = _box(entry)

        def leave_out(kind: str, reason: str) -> None:
            self.report(path, kind, f"{where}: {reason}; the box is left out")

        if not name or (self.given is not None and name not in self.given):
            known = f"; class_names is {', '.join(self.given)}" if self.given else ""
            return leave_out("unknown-class", f"the class {with_nearest([name], self.given or ())} is not known{known}")
        if box is None:
            return leave_out("bad-box", "no <bndbox> with numbers xmin ymin xmax ymax")
        wrong = judge_box(box, size_hw, first_pixel=1)
        if wrong is not None:
            return leave_out(*wrong)
        xmin, ymin, xmax, ymax = box
        self.rows.add_box(
            (xmin - 1, ymin - 1, xmax, ymax),
            size_hw,
            label=self.labels.setdefault(name, len(self.labels)),
            ignore=self.ignore_difficult and (entry.findtext("difficult") or "").strip() not in ("", "0"),
        )

    def number_images(self, stems: Sequence[str]) -> None:
        """Pictures are numbered by their names where all are different numbers (as in VOC), else from 0."""
        numbers = [int(stem) for stem in stems if stem.isdecimal()]
        if len(set(numbers)) == len(stems):
            self.rows.image_ids = array("q", numbers)

    def final_class_names(self) -> tuple[str, ...]:
        """The classes given, or those found in a stable order, to which the labels are moved."""
        if self.given is not None:
            return self.given
        names = tuple(sorted(self.labels))
        if len(names) > 10 and set(names) <= set(VOC_CLASSES):
            names = VOC_CLASSES
        new_label = {self.labels[name]: label for label, name in enumerate(names) if name in self.labels}
        self.rows.labels = array("q", [new_label[label] for label in self.rows.labels])
        return names


def _list_stems(root: Path, split: str | None, reader: _Reader) -> tuple[Path, Iterable[str]]:
    """Where the samples are listed, and their stems in that order."""
    for folder in (reader.annotations.root, reader.pictures.root):
        if not folder.is_dir():
            inside = sorted(str(path.parent.relative_to(root)) for path in root.glob("*/Annotations"))
            inside += sorted(str(path.parent.relative_to(root)) for path in root.glob("*/*/Annotations"))
            hint = f"give one of its subfolders as the root: {', '.join(inside)}" if inside else "check `root`"
            raise DataError(f"{folder}: no such folder, expected VOC's layout with Annotations and JPEGImages; {hint}")
    if split is None:
        stems = {Path(name).stem for name in reader.annotations.listing().values() if name.lower().endswith(".xml")}
        lower = {stem.lower() for stem in stems}
        stems |= {Path(name).stem for stem, name in reader.picture_of.items() if stem.lower() not in lower}
        return reader.annotations.root, sorted(stems)
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        lists = sorted(file.stem for file in path.parent.glob("*.txt"))
        hint = f"the lists there are {with_nearest(lists, ())}" if lists else "there are none there"
        raise DataError(f"{path}: no such list; {hint}. split=None takes every file in {reader.annotations.root}")
    stems_in_order: dict[str, None] = {}
    for place, line in enumerate(text_lines(path), start=1):
        stem = line.strip()
        first, _, flag = stem.rpartition(" ")
        if flag in ("-1", "0", "1") and stem not in reader.picture_of:  # VOC's lists for one class: "000012 -1"
            stem = first.strip()
        if stem in stems_in_order:
            reader.report(path, "duplicate", f"line {place} names {stem!r} again; it is used once")
        elif stem:
            stems_in_order[stem] = None
    return path, stems_in_order


def _parse(data: bytes) -> Element:
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.Parse(data, True)
    return builder.close()


def _refuse_doctype(*_: Any) -> None:
    raise ValueError("it has a document type declaration, which is refused for safety; remove the <!DOCTYPE ...> line")


def _size(tree: Element) -> tuple[int, int] | None:
    """(height, width) as stated; None where it is missing, no number or not positive."""
    try:
        height, width = (int(number(tree.findtext(f"size/{side}") or "0")) for side in ("height", "width"))
    except (ValueError, OverflowError):
        return None
    return (height, width) if 0 < height < 2**31 and 0 < width < 2**31 else None


def _box(entry: Element) -> tuple[float, float, float, float] | None:
    """xmin ymin xmax ymax as stated; None where one is missing or no number."""
    try:
        box = entry.find("bndbox")
        xmin, ymin, xmax, ymax = (number("" if box is None else box.findtext(edge) or "") for edge in _EDGES)
    except ValueError:
        return None
    return xmin, ymin, xmax, ymax
