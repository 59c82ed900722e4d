"""CrowdHuman (Shao et al., 2018, arXiv:1805.00123; https://www.crowdhuman.org): one JSON object a line.

Layout::

    root/annotation_train.odgt
    root/Images/<ID>.jpg

Each person has three boxes, ``[x, y, width, height]`` counted from 0: the full body with its hidden parts (`fbox`, it
may leave the picture), its visible part (`vbox`) and the head (`hbox`). Entries with the tag ``mask`` (crowds,
reflections, pictures of people) and those that say ``ignore`` are regions to ignore. The file gives no picture sizes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ..dataset import DetectionDataset
from ..sample import DataError
from .reading import Folder, Reports, Rows, UnknownKeys, four_numbers, judge_box, own_size, with_nearest

_KEYS = {"full": "fbox", "visible": "vbox", "head": "hbox"}
_TAGS = ("person", "mask")


class CrowdHuman(DetectionDataset):
    """A data set in CrowdHuman's format, with one class: ``person``, or ``head`` where the boxes are those of heads.

    What is wrong in it is left out and named in `problems` (and in one warning): a line that is no JSON object, a
    missing picture and an ID that is there twice leave out the sample; an unknown tag and a box that is inverted,
    without area, outside its picture or no number leave out the box.

    Args:
        annotations: the ``.odgt`` file.
        images: the folder of the pictures; None looks for ``Images``, ``images`` or a folder of the split's name beside
            the file, and one level up.
        box: which of the three boxes. Heads that say ``ignore`` themselves are to be ignored where this is ``head``.
        amodal: boxes that reach over the edge of the picture are kept whole (see `DetectionDataset.amodal`), not cut.
        strict: the first problem is an error.

    Raises:
        DataError: no such file, no line of it in this format, no folder of pictures, or no usable image; with
            `strict` any problem.
    """

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        box: Literal["full", "visible", "head"] = "full",
        amodal: bool = False,
        strict: bool = False,
    ) -> None:
        path = Path(annotations)
        if box not in _KEYS:
            raise DataError(f"box: expected one of {', '.join(_KEYS)}, got {box!r}")
        report = Reports(strict=strict)
        entries = _load(path, report)
        folder = Folder(_image_folder(path, images, [entry["ID"] for _, entry in entries]))
        rows = Rows(amodal=amodal)
        keys = UnknownKeys(["tag", "extra", "head_attr", "ignore", *_KEYS.values()])
        seen: set[str] = set()
        for line, entry in entries:
            name = entry["ID"]
            if name in seen:
                report(path, "duplicate", f"line {line}: the ID {name!r} is there again; it is left out")
                continue
            seen.add(name)
            found = _find_picture(folder, name, report)
            size_hw = None if found is None else own_size(folder.root / found, report)
            if found is None or size_hw is None:
                continue
            for number, person in enumerate(entry["gtboxes"], start=1):
                where = f"line {line} ({name}), box {number}"
                _read_box(person, where, path, box, size_hw, rows, report, keys)
            rows.add_image(found, len(rows.names), size_hw)
        keys.report(path, report)
        names = ("head" if box == "head" else "person",)
        super().__init__(
            names,
            rows.columns(folder.root),
            source=path,
            problems=report.found,
            strict=strict,
            amodal=amodal,
            clipped=rows.clipped,
        )


def _load(path: Path, report: Reports) -> list[tuple[int, dict[str, Any]]]:
    """(line number, object) of the lines that are as they should be."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); check `annotations`") from error
    entries = []
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            report(path, "unreadable-annotation", f"line {line} is not valid JSON ({error}); the sample is left out")
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("ID"), str) or not entry["ID"]:
            got = f"keys {', '.join(map(repr, entry))}" if isinstance(entry, dict) else f"{entry!r:.100}"
            message = f"line {line}: expected an object with the text ID and the list gtboxes, got {got:.200}"
            report(path, "unreadable-annotation", f"{message}; the sample is left out")
        elif not isinstance(entry.get("gtboxes"), list):
            message = f"line {line} ({entry['ID']}) has no list gtboxes; the sample is left out"
            report(path, "unreadable-annotation", message)
        else:
            entries.append((line, entry))
    if not entries:
        first = f" The first problem: {report.found[0]}" if report.found else ""
        raise DataError(f"{path}: no line in CrowdHuman's format, a JSON object with ID and gtboxes a line.{first}")
    return entries


def _image_folder(path: Path, images: str | os.PathLike[str] | None, names: list[str]) -> Path:
    if images is not None:
        if not Path(images).is_dir():
            raise DataError(f"{images}: no such folder; `images` is the folder of the files <ID>.jpg")
        return Path(images)
    split = path.stem.rpartition("_")[2]  # annotation_train.odgt
    inside = ("Images", "images", "", split, f"Images/{split}", f"images/{split}", f"{split}/Images")
    folders = [root / name for root in (path.parent, path.parent.parent) for name in inside]
    for folder in folders:
        finder = Folder(folder)
        if any(finder.find(f"{name}.jpg") for name in names[:20]):
            return folder
    tried = ", ".join(str(folder) for folder in folders)
    raise DataError(f"{path}: its pictures such as {names[0] + '.jpg'!r} are in none of {tried}; give it as `images`")


def _find_picture(folder: Folder, name: str, report: Reports) -> str | None:
    for suffix in (".jpg", ".jpeg", ".png"):
        found = folder.find(f"{name}{suffix}")
        if found is not None:
            return found
    climbs = ".." in Path(name).parts or Path(name).is_absolute()
    reason = "the ID leads out of the folder of pictures, which is refused" if climbs else "no such file"
    report(folder.root / f"{name}.jpg", "missing-image", f"{reason}; the sample is left out")
    return None


def _read_box(
    person: Any,
    where: str,
    path: Path,
    which: str,
    size_hw: tuple[int, int],
    rows: Rows,
    report: Reports,
    keys: UnknownKeys,
) -> None:
    def leave_out(kind: str, reason: str) -> None:
        report(path, kind, f"{where}: {reason}; the box is left out")

    if not isinstance(person, dict):
        return leave_out("bad-box", f"expected an object, got {person!r:.100}")
    keys.look(person, where)
    tag, key = person.get("tag"), _KEYS[which]
    if tag not in _TAGS:
        return leave_out("unknown-class", f"the tag {with_nearest([str(tag)], _TAGS)} is none of {', '.join(_TAGS)}")
    numbers = four_numbers(person.get(key))
    if numbers is None:
        return leave_out("bad-box", f"{key} is {person.get(key)!r:.100}, expected four numbers")
    x, y, width, height = numbers
    box = x, y, x + width, y + height
    wrong = judge_box(box, size_hw)
    if wrong is not None:
        return leave_out(*wrong)
    ignore = tag == "mask" or _ignored(person, "extra", where, keys)
    if which == "head":
        ignore = ignore or _ignored(person, "head_attr", where, keys)
    return rows.add_box(box, size_hw, label=0, ignore=ignore)


def _ignored(person: Mapping[str, Any], key: str, where: str, keys: UnknownKeys) -> bool:
    """Whether the attributes under a key say that the box is to be ignored."""
    attributes = person.get(key)
    if not isinstance(attributes, Mapping):
        return False
    keys.look(attributes, f"{where}, {key}")
    return bool(attributes.get("ignore"))
