"""CrowdHuman's .odgt files (Shao et al., 2018, arXiv:1805.00123; https://www.crowdhuman.org): one JSON object a line.

Each person has three boxes, ``[x, y, width, height]`` counted from 0: the full body with its hidden parts (`fbox`, it
may leave the image), its visible part (`vbox`) and the head (`hbox`). Entries with the tag ``mask`` (crowds,
reflections, images of people) and those that say ``ignore`` are regions to ignore. The file gives no image sizes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .problems import DataError, Reports, UnknownKeys, with_nearest
from .rows import BoxRows, RowList
from .text import four_numbers

BOX_KEYS = {"full": "fbox", "visible": "vbox", "head": "hbox"}
"""Keys of the three boxes, by what they are around."""
_TAGS = ("person", "mask")


@dataclass(frozen=True, eq=False)
class CrowdHumanFile:
    """The contents of a file.

    Attributes:
        names: the ID of each image.
        lines: the line of each image.
        rows: all boxes; `images` are indices of `names`, `places` the number of the box in its line, from 1.
    """

    names: Sequence[str]
    lines: Sequence[int]
    rows: BoxRows

    def where(self, row: int) -> str:
        """Name a box."""
        image = int(self.rows.images[row])
        return f"line {self.lines[image]} ({self.names[image]}), box {self.rows.places[row]}"


def read_crowdhuman(path: Path, report: Reports, *, box: str = "full") -> CrowdHumanFile:
    """Read a file.

    Args:
        path: of the file.
        report: where wrong lines and boxes go, which are left out.
        box: which of the three, a key of `BOX_KEYS`. Heads that say ``ignore`` themselves are to be ignored for
            ``head``.

    Raises:
        DataError: no such file, or no line of it in this format.
    """
    names: dict[str, int] = {}
    rows = RowList()
    keys = UnknownKeys(["tag", "extra", "head_attr", "ignore", *BOX_KEYS.values()])
    try:
        for line, entry in _entries(path, report):
            name = entry["ID"]
            if name in names:
                report(path, "duplicate", f"line {line}: the ID {name!r} is there again; it is left out")
                continue
            for place, person in enumerate(entry["gtboxes"], start=1):
                where = f"line {line} ({name}), box {place}"
                wrong = _add_person(rows, len(names), place, person, where, box, keys)
                if wrong is not None:
                    report(path, wrong[0], f"{where}: {wrong[1]}; the box is left out")
            names[name] = line
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check `annotations`") from error
    if not names:
        first = f" The first problem: {report.found[0]}" if report.found else ""
        raise DataError(f"{path}: no line in CrowdHuman's format, a JSON object with ID and gtboxes a line.{first}")
    keys.report(path, report)
    return CrowdHumanFile(list(names), list(names.values()), rows.rows())


def _entries(path: Path, report: Reports) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of the lines that are as they should be."""
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                entry = json.loads(text.removesuffix(b"\n"))
            except (ValueError, RecursionError) as error:
                fault = f"line {line} is not valid JSON ({error}); the sample is left out"
                report(path, "unreadable-annotation", fault)
                continue
            if not isinstance(entry, dict) or not isinstance(entry.get("ID"), str) or not entry["ID"]:
                got = f"keys {', '.join(map(repr, entry))}" if isinstance(entry, dict) else f"{entry!r:.100}"
                message = f"line {line}: expected an object with the text ID and the list gtboxes, got {got:.200}"
                report(path, "unreadable-annotation", f"{message}; the sample is left out")
            elif not isinstance(entry.get("gtboxes"), list):
                message = f"line {line} ({entry['ID']}) has no list gtboxes; the sample is left out"
                report(path, "unreadable-annotation", message)
            else:
                yield line, entry


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
    numbers = four_numbers(person.get(key))
    if numbers is None:
        return "bad-box", f"{key} is {person.get(key)!r:.100}, expected four numbers"
    x, y, width, height = numbers
    attributes = ("extra", "head_attr") if box == "head" else ("extra",)
    ignore = tag == "mask" or any([_is_ignored(person, name, where, keys) for name in attributes])
    rows.add(image, place, (x, y, x + width, y + height), 0, ignore=ignore)
    return None


def _is_ignored(person: Mapping[str, Any], key: str, where: str, keys: UnknownKeys) -> bool:
    """Return True if the attributes under a key say that the box is to be ignored."""
    attributes = person.get(key)
    if not isinstance(attributes, Mapping):
        return False
    keys.look(attributes, f"{where}, {key}")
    return bool(attributes.get("ignore"))
