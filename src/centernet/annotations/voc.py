"""Pascal VOC's XML, one file an image (http://host.robots.ox.ac.uk/pascal/VOC).

VOC numbers pixels from 1 and includes the last: the corners of a box are xmin - 1, ymin - 1, xmax, ymax elsewhere here.
Of a turned box (``<robndbox>``, as roLabelImg writes it) the upright one around it is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from ..files import open_file
from ..text import in_xml
from ..whole import write_text
from .outlines import turned_box
from .problems import Reports, read_bytes
from .text import number
from .xml import XML_ERRORS, parse_xml

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_TURNED = ("cx", "cy", "w", "h", "angle")  # roLabelImg's
_TWENTY = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow "
    "diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor"
)
VOC_CLASSES = tuple(_TWENTY.split())


class VocObject(NamedTuple):
    """An object of a file."""

    name: str  # of its class; empty where it has none
    box: tuple[float, float, float, float] | None  # xmin ymin xmax ymax as in the file, if all are numbers
    turned: bool  # the box is that around a <robndbox>, and counted from 0 as roLabelImg draws them
    difficult: str | None  # as in the file
    keys: tuple[str, ...]


class VocFile(NamedTuple):
    """The contents of a file; the size is None where it is missing, no number or not positive."""

    size_hw: tuple[int, int] | None
    filename: str  # of the image, perhaps with folders; empty where it has none
    objects: list[VocObject]


def read_voc(path: Path, report: Reports) -> VocFile | None:
    """Read a file; None after one that cannot be read was reported."""
    try:
        tree = parse_xml(read_bytes(path))
    except (OSError, *XML_ERRORS) as error:
        hint = "" if "refused" in str(error) else "; save it as UTF-8, or name its encoding in its first line"
        report(path, "unreadable-annotation", f"cannot be read as XML ({error}); the sample is left out{hint}")
        return None
    found = []
    for entry in tree.iterfind("object"):
        box, turned = _numbers(entry, [f"bndbox/{edge}" for edge in _EDGES]), False
        if box is None and (numbers := _numbers(entry, [f"robndbox/{key}" for key in _TURNED])) is not None:
            box, turned = turned_box(*numbers), True
        name, keys = (entry.findtext("name") or "").strip(), tuple(child.tag for child in entry)
        found.append(VocObject(name, box, turned, entry.findtext("difficult"), keys))
    height, width = _numbers(tree, ["size/height", "size/width"]) or (0, 0)
    size_hw = (int(height), int(width)) if 1 <= height < 2**31 and 1 <= width < 2**31 else None
    return VocFile(size_hw, (tree.findtext("filename") or "").strip(), found)


def is_voc(path: Path) -> bool:
    """Return True if the root of an XML file is VOC's; only its beginning is read."""
    try:
        with open_file(path) as file:
            head = file.read(1 << 12)
    except OSError:
        return False
    text = head.replace(b"\0", b"")  # of UTF-16
    found = re.search(rb"<([A-Za-z_][\w.:-]*)", re.sub(rb"<!--.*?-->", b"", text, flags=re.DOTALL))
    return found is not None and found[1] == b"annotation"


def _numbers(entry: Element, keys: list[str]) -> Any:
    """The numbers under some keys; None where one is missing or no number."""
    try:
        return tuple(number(entry.findtext(key) or "") for key in keys)
    except ValueError:
        return None


def annotation_text(
    name: str, size_hw: tuple[int, int], objects: Iterable[tuple[Sequence[float], str, bool]], *, decimals: int = 0
) -> str:
    """Return the XML of an image; `objects` are x1 y1 x2 y2, the class name, and True for difficult ones."""
    size = f"<size><width>{size_hw[1]}</width><height>{size_hw[0]}</height><depth>3</depth></size>"
    lines = ["<annotation>", f"<filename>{escape(in_xml(name))}</filename>", size]
    for (x1, y1, x2, y2), class_name, difficult in objects:
        edges = zip(_EDGES, (x1 + 1, y1 + 1, x2, y2), strict=True)
        box = "".join(f"<{edge}>{value:.{decimals}f}</{edge}>" for edge, value in edges)
        kind = f"<name>{escape(in_xml(class_name))}</name><difficult>{int(difficult)}</difficult>"
        lines.append(f"<object>{kind}<bndbox>{box}</bndbox></object>")
    return "\n".join([*lines, "</annotation>", ""])


def write_voc(
    folder: Path,
    split: str,
    names: Sequence[str],
    annotations: Iterable[Any],
    class_names: Sequence[str],
    *,
    decimals: int = 0,
) -> Path:
    """Write Annotations/<stem>.xml, ImageSets/Main/<split>.txt and labelmap.txt; ignored boxes are marked difficult.

    Arguments as for `write_coco`, stems all different. VOC's own coordinates are whole numbers (`decimals` 0), which is
    all that some programs read. The list of the classes is that of CVAT and datumaro, which reads no others.
    """
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    (folder / "Annotations").mkdir(parents=True, exist_ok=True)
    for name, truth in zip(names, annotations, strict=True):
        names_of = [class_names[label] for label in truth.labels]
        objects = zip(truth.boxes, names_of, truth.ignore, strict=True)
        text = annotation_text(name, (truth.height, truth.width), objects, decimals=decimals)
        file = (folder / "Annotations" / name).with_suffix(".xml")
        write_text(file, text, errors="backslashreplace", synced=False)  # XML has no bytes that are no UTF-8
    labels = "".join(f"{in_xml(name)}:::\n" for name in class_names)
    write_text(folder / "labelmap.txt", f"# label:color_rgb:parts:actions\n{labels}")
    text = "".join(f"{Path(name).stem}\n" for name in names)
    return write_text(path, text, errors="surrogateescape")  # as such names are read
