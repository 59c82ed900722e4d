"""Pascal VOC's XML, one file an image (http://host.robots.ox.ac.uk/pascal/VOC).

VOC numbers pixels from 1 and includes the last: the corners of a box are xmin - 1, ymin - 1, xmax, ymax elsewhere here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from .problems import Reports, read_bytes
from .text import number
from .xml import XML_ERRORS, parse_xml

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_TWENTY = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow "
    "diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor"
)
VOC_CLASSES = tuple(_TWENTY.split())


class VocObject(NamedTuple):
    """An object of a file."""

    name: str  # of its class; empty where it has none
    box: tuple[float, float, float, float] | None  # xmin ymin xmax ymax as in the file, if all are numbers
    difficult: bool
    keys: tuple[str, ...]


class VocFile(NamedTuple):
    """The contents of a file; the size is None where it is missing, no number or not positive."""

    size_hw: tuple[int, int] | None
    objects: list[VocObject]


def read_voc(path: Path, report: Reports) -> VocFile | None:
    """Read a file; None after one that cannot be read was reported."""
    try:
        tree = parse_xml(read_bytes(path))
    except (OSError, *XML_ERRORS) as error:
        report(path, "unreadable-annotation", f"cannot be read as XML ({error}); the sample is left out")
        return None
    found = []
    for entry in tree.iterfind("object"):
        name, flag = ((entry.findtext(key) or "").strip() for key in ("name", "difficult"))
        box = _numbers(entry, [f"bndbox/{edge}" for edge in _EDGES])
        found.append(VocObject(name, box, flag not in ("", "0"), tuple(child.tag for child in entry)))
    height, width = _numbers(tree, ["size/height", "size/width"]) or (0, 0)
    return VocFile((int(height), int(width)) if 1 <= height < 2**31 and 1 <= width < 2**31 else None, found)


def _numbers(entry: Element, keys: list[str]) -> Any:
    """The numbers under some keys; None where one is missing or no number."""
    try:
        return tuple(number(entry.findtext(key) or "") for key in keys)
    except ValueError:
        return None


def write_voc(
    folder: Path,
    split: str,
    names: Sequence[str],
    annotations: Iterable[Any],
    class_names: Sequence[str],
    *,
    decimals: int = 0,
) -> Path:
    """Write Annotations/<stem>.xml and the list ImageSets/Main/<split>.txt; ignored boxes are marked difficult.

    Arguments as for `write_coco`, stems all different. VOC's own coordinates are whole numbers (`decimals` 0), which is
    all that some programs read.
    """
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "Annotations").mkdir(exist_ok=True)
    for name, truth in zip(names, annotations, strict=True):
        size = f"<size><width>{truth.width}</width><height>{truth.height}</height><depth>3</depth></size>"
        lines = ["<annotation>", f"<filename>{escape(name)}</filename>", size]
        for (x1, y1, x2, y2), label, ignore in zip(truth.boxes, truth.labels, truth.ignore, strict=True):
            edges = zip(_EDGES, (x1 + 1, y1 + 1, x2, y2), strict=True)
            box = "".join(f"<{edge}>{value:.{decimals}f}</{edge}>" for edge, value in edges)
            kind = f"<name>{escape(class_names[label])}</name><difficult>{int(ignore)}</difficult>"
            lines.append(f"<object>{kind}<bndbox>{box}</bndbox></object>")
        text = "\n".join([*lines, "</annotation>", ""])
        (folder / "Annotations" / name).with_suffix(".xml").write_text(text, encoding="utf-8")
    path.write_text("".join(f"{Path(name).stem}\n" for name in names), encoding="utf-8")
    return path
