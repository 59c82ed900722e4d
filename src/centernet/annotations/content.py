"""Judging a file by its content: does it state boxes? For files that no reader took.

Only the beginning of a text file is looked at; a JSON file is searched for the names of known keys, without being held
in memory.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias
from xml.parsers import expat

from ..documents import read_json_text, read_yaml_text
from ..files import open_file
from ..images import IMAGE_SUFFIXES
from .json_stream import opened_plain
from .text import number_or_none

Role: TypeAlias = Literal["boxes", "broken", "results", "settings", "other"]

SUFFIXES = (".txt", ".xml", ".json", ".json.gz", ".csv", ".tsv", ".yaml", ".yml", ".odgt", ".jsonl", ".ndjson")
"""Suffixes, in lower case, of files of annotations."""

_HEAD = 1 << 16  # bytes of a text file that are looked at
_WHOLE = 1 << 20  # bytes up to which JSON and YAML are parsed to see whether they are whole
_ROWS = 60

_RECORDS = (".tfrecord", ".tfrecords", ".record")
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz")
EMPTY, PACKED = "empty", "an archive, not unpacked"


class Content(NamedTuple):
    """The contents of a file, in a word.

    The role is ``boxes`` for annotations, ``broken`` for JSON, XML or YAML that cannot be parsed, ``results`` for
    detections with scores, ``settings`` for a data.yaml, and ``other`` for everything else: lists, prose, tables.
    """

    role: Role
    what: str  # in a few words, for messages: "YOLO rows"


def judge(path: Path) -> Content:
    """Judge a file by its content; one that cannot be opened is ``broken``."""
    name = path.name.lower()
    try:
        if name.endswith((".json", ".ipynb", ".geojson")) or (".json" in name and ".gz" in name):
            return _judge_json(path)
        with open_file(path) as file:
            head = file.read(_HEAD)
    except (OSError, EOFError, zlib.error) as error:
        return Content("broken", f"cannot be read ({error})")
    if not head.strip():
        return Content("other" if name.endswith(".txt") or not name.endswith(SUFFIXES) else "broken", EMPTY)
    if name.endswith(_ARCHIVES):
        return Content("other", PACKED)
    if name.endswith(_RECORDS):
        return Content("boxes", "TensorFlow's records")
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    if "\0" in text:
        return Content("other", "no text")
    if name.endswith((".yaml", ".yml")):
        return _judge_yaml(path)
    first = text.lstrip()[:1]
    if name.endswith(".xml") or (first == "<" and not name.endswith((".txt", ".html", ".htm", ".svg"))):
        return _judge_xml(path, strict=name.endswith(".xml"))
    if re.match(r"\s*(\[\s*)?\{\s*\"", text) and not name.endswith((".txt", ".csv", ".tsv")):
        return _judge_keys({key for key in _KEYS if re.search(rf'"{key}"\s*:', text)}, "JSON a line")
    lines = text.splitlines()
    lines = lines[:-1] if len(head) == _HEAD else lines
    if ".csv" in name or ".tsv" in name:  # boxes.csv.bak too
        return _judge_table(lines)
    rows = _judge_rows(lines)
    if rows.role == "other" and _has_header(lines):
        return _judge_table(lines)
    return rows


# Text ---------------------------------------------------------------------------------------------------------------


_SEPARATORS = re.compile(r"[\s,;]+")


def _judge_rows(lines: list[str]) -> Content:
    """Rows of numbers, perhaps after a name or two, are boxes; so are the counts and names between WIDER FACE's."""
    filled = [line.strip() for line in lines if line.strip()][:_ROWS]
    kinds = {line: _kind_of_row(line) for line in filled}
    named = [kind for kind in kinds.values() if kind]
    if not named or any(kind is None and len(_SEPARATORS.split(line)) > 3 for line, kind in kinds.items()):
        return Content(
            "other", "text" if named or any(len(_SEPARATORS.split(line)) > 3 for line in filled) else "a list"
        )
    return Content("boxes", max(set(named), key=named.count))


def _kind_of_row(line: str) -> str | None:
    """Name the kind of a row that may state a box; None for one that does not."""
    fields = [field for field in _SEPARATORS.split(line) if field]
    values = [number_or_none(field) for field in fields]
    numbers = [value for value in values if value is not None]
    words = len(fields) - len(numbers)
    if len(numbers) < 4:
        return None
    if not words:
        shares = all(-0.5 <= value <= 1.5 for value in numbers[1:5])
        if len(numbers) >= 5 and float(numbers[0]).is_integer() and shares and any(numbers[1:5]):
            return "rows as YOLO's"
        return "rows of numbers"
    if values[0] is None and words == 1 and len(numbers) in (14, 15):
        return "rows as KITTI's"
    if words == 1 and len(numbers) in (16, 17) and values[2] is None:
        return "rows as KITTI's tracking"
    return "rows of names and numbers" if words <= 2 and not fields[0].endswith(":") else None


_BOX_COLUMNS = (
    "xmin x1 left bbox bboxes xcenter xcentre cx bboxx bboxxmin boxx1 bboxleft bboxx1 roix1 minx region "
    "regionshapeattributes topleftx x"
)
_BOX_KEY_COLUMNS = frozenset(_BOX_COLUMNS.split())


def _judge_table(lines: list[str]) -> Content:
    """A table of boxes has a column that says so, or rows of a name and four numbers or more without a header."""
    filled = [line for line in lines if line.strip()][:_ROWS]
    separator = max(",;\t", key=lambda sign: filled[0].count(sign)) if filled else ","
    rows = [row for row in csv.reader(filled, delimiter=separator) if row]
    if any(number_or_none(field) is not None for field in rows[0]) and len(rows[0]) > 1:
        boxes = [row for row in rows if sum(number_or_none(field) is not None for field in row) >= 4]
        return Content("boxes", "CSV of boxes") if boxes else Content("other", "a table")
    columns = {re.sub(r"[^a-z0-9]", "", field.lower()) for field in rows[0]}
    if not columns & _BOX_KEY_COLUMNS:
        blank = [row for row in rows if len(row) >= 6 and not any(row[1:6])]  # RetinaNet's images without objects
        named = [row for row in rows if any(field.lower().endswith(IMAGE_SUFFIXES) for field in row)]
        boxes = [row for row in named if sum(number_or_none(field) is not None for field in row) >= 4]
        return Content("boxes", "CSV of boxes") if blank or boxes else Content("other", "a table")
    return Content("results" if columns & {"score", "scores"} else "boxes", "CSV of boxes")


def _has_header(lines: list[str]) -> bool:
    """Return True if a line of five names or more comes before one of as many fields, four of them numbers."""
    rows = [re.split("[,;\t]", line) for line in lines[:2]]
    numbers = [sum(number_or_none(field) is not None for field in row) for row in rows]
    return len(rows) == 2 and len(rows[0]) == len(rows[1]) > 4 and numbers[0] == 0 and numbers[1] >= 4


# XML ----------------------------------------------------------------------------------------------------------------

_BOX_TAGS = {"bndbox", "box", "bbox", "polygon", "object", "track", "points", "rectangle", "image", "target"}


def _judge_xml(path: Path, *, strict: bool) -> Content:
    tags: list[str] = []
    parser = expat.ParserCreate()

    def start(tag: str, _: object) -> None:
        tags.append(tag) if len(tags) < 200 else None

    parser.StartElementHandler = start
    try:
        with open_file(path) as file:
            while data := file.read(_HEAD):
                parser.Parse(data, False)
                if len(tags) >= 200:
                    break
            else:
                parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if not strict:
            return Content("other", "text")
        return Content("broken", f"not valid XML ({error})")
    known = {"annotation": "VOC's XML", "annotations": "CVAT's XML"}
    what = known.get(tags[0], f"XML with the root {tags[0]!r:.40}")
    return Content("boxes", what) if not _BOX_TAGS.isdisjoint(tags) or tags[0] in known else Content("other", what)


# JSON ---------------------------------------------------------------------------------------------------------------

_NAMES = (
    "bbox bboxes bndbox box boxes box2d bounding_box boundingBox bounding_boxes boundingBoxes gtboxes xmin x1 left "
    "polygon polygons points exterior segmentation regions shapes rect geometry rectanglelabels polygonlabels objects"
)
_BOX_KEYS = frozenset(_NAMES.split())
_KEYS = (
    *_BOX_KEYS, "images", "annotations", "categories", "caption", "score", "scores", "confidence", "image_id", "result",
    "shape_attributes", "imagePath", "segments_info", "file_name",
)  # fmt: skip
_PATTERN = re.compile(rb'"(' + b"|".join(key.encode() for key in _KEYS) + rb')"\s*:')


def _judge_json(path: Path) -> Content:
    with opened_plain(path) as opened:
        data = opened.read(_WHOLE)
        found = {match.decode() for match in _PATTERN.findall(data)}
        if not data.strip():
            return Content("broken", EMPTY)
        if len(data) < _WHOLE:
            try:
                read_json_text(data.decode("utf-8-sig"))
            except ValueError as error:
                return Content("broken", f"not valid JSON ({error})")
        first = last = data
        while len(data) == _WHOLE:
            data = opened.read(_WHOLE)
            found |= {match.decode() for match in _PATTERN.findall(last[-64:] + data)}
            last = data or last
        if last.rstrip()[-1:] != (b"]" if first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" else b"}"):
            return Content("broken", "JSON that is cut off")
    return _judge_keys(found, "JSON")


def _judge_keys(found: Collection[str], form: str) -> Content:
    keys = set(found)
    if _BOX_KEYS.isdisjoint(keys):
        return Content("other", f"{form} without boxes")
    for what, wanted in (
        ("COCO's JSON", {"images", "annotations"}),
        ("LabelMe's JSON", {"shapes", "imagePath"}),
        ("CrowdHuman's JSON", {"gtboxes"}),
        ("VGG Image Annotator's JSON", {"regions", "shape_attributes"}),
        ("Label Studio's JSON", {"annotations", "result"}),
    ):
        if wanted <= keys:
            return Content("boxes", what)
    if keys & {"score", "scores", "confidence"}:
        return Content("results", f"{form} of detections")
    return Content("boxes", f"{form} with {', '.join(sorted(keys & _BOX_KEYS)[:3])}")


# YAML ---------------------------------------------------------------------------------------------------------------


def _judge_yaml(path: Path) -> Content:
    with open_file(path) as file:
        data = file.read(_WHOLE)
    try:
        content = read_yaml_text(data.decode("utf-8-sig"), texts=True)
    except ValueError as error:
        return Content("broken", f"not valid YAML ({' '.join(str(error).split())})")
    if isinstance(content, dict) and "names" in content:
        return Content("settings", "YOLO's data.yaml")
    return Content("other", "YAML")
