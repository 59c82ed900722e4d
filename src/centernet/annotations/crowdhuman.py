"""CrowdHuman's .odgt files (Shao et al., 2018, arXiv:1805.00123; https://www.crowdhuman.org): one JSON object a line.

Boxes are ``[x, y, width, height]`` counted from 0; that of a full body (`fbox`) may leave the image. The tag ``mask``
(crowds, reflections, images of people) and ``ignore`` make regions to ignore. There are no image sizes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..documents import read_json_text
from ..files import read_file
from .problems import DataError, Reports, UnknownKeys, opening, with_nearest
from .rows import BoxRows, RowList
from .text import json_box

BOX_KEYS = {"full": "fbox", "visible": "vbox", "head": "hbox"}
"""Keys of the three boxes, by what they are around."""
_TAGS = ("person", "mask")


def read_crowdhuman(path: Path, report: Reports, *, box: str = "full") -> tuple[dict[str, int], BoxRows]:
    """Read the boxes of a kind, a key of `BOX_KEYS`. Wrong lines and boxes are reported and left out.

    Returns the line of each image, by its ID; and all boxes, whose `places` count from 1 in their line.
    """
    lines: dict[str, int] = {}
    rows = RowList()
    keys = UnknownKeys(["tag", "extra", "head_attr", "ignore", *BOX_KEYS.values()])
    with opening(path, "annotations"):
        texts = read_file(path).split(b"\n")
    for line, text in enumerate(texts, start=1):
        entry = _entry(text, f"line {line}", path, report) if text.strip() else None
        if entry is None:
            continue
        if (name := entry["ID"]) in lines:
            report(path, "duplicate", f"line {line}: the ID {name!r} is there again; it is left out")
            continue
        for place, person in enumerate(entry["gtboxes"], start=1):
            where = f"line {line} ({name}), box {place}"
            wrong = _add_person(rows, len(lines), place, person, where, box, keys)
            if wrong is not None:
                report(path, wrong[0], f"{where}: {wrong[1]}; the box is left out")
        lines[name] = line
    if not lines:
        first = f" The first problem: {report.found[0]}" if report.found else ""
        raise DataError(f"{path}: no line in CrowdHuman's format, a JSON object with ID and gtboxes a line.{first}")
    keys.report(path, report)
    return lines, rows.rows()


def _entry(text: bytes, where: str, path: Path, report: Reports) -> dict[str, Any] | None:
    """The object of a line; None after a wrong one was reported."""
    try:
        entry = read_json_text(text)
    except ValueError as error:
        report(path, "unreadable-annotation", f"{where} is not valid JSON ({error}); the sample is left out")
        return None
    name = entry.get("ID") if isinstance(entry, dict) else None
    if isinstance(name, str) and name and isinstance(entry.get("gtboxes"), list):
        return dict(entry)
    fault = f" ({name}) has no list gtboxes"
    if not isinstance(name, str) or not name:
        got = f"keys {', '.join(map(repr, entry))}" if isinstance(entry, dict) else f"{entry!r:.100}"
        fault = f": expected an object with the text ID and the list gtboxes, got {got:.200}"
    report(path, "unreadable-annotation", f"{where}{fault}; the sample is left out")
    return None


def _add_person(
    rows: RowList, image: int, place: int, person: Any, where: str, box: str, keys: UnknownKeys
) -> tuple[str, str] | None:
    """Append the box of a person; or return the kind of problem and what is wrong."""
    if not isinstance(person, dict):
        return "bad-box", f"expected an object, got {person!r:.100}"
    keys.look(person, where)
    tag, key = person.get("tag"), BOX_KEYS[box]
    if tag not in _TAGS:
        return "unknown-class", f"the tag {with_nearest([str(tag)], _TAGS)} is none of {', '.join(_TAGS)}"
    corners = json_box(person.get(key))
    if corners is None:
        return "bad-box", f"{key} is {person.get(key)!r:.100}, expected four numbers"
    ignore = tag == "mask"
    for name in ("extra", "head_attr") if box == "head" else ("extra",):
        attributes = person.get(name)
        if isinstance(attributes, dict):
            keys.look(attributes, f"{where}, {name}")
            ignore = ignore or bool(attributes.get("ignore"))
    rows.add(image, place, corners, 0, ignore=ignore)
    return None
