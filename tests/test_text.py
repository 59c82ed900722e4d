"""Names of others: on the terminal, in tables and lists, as folders, in XML."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from centernet.annotations.found_boxes import read_csv
from centernet.annotations.voc import annotation_text
from centernet.cli.log import tell
from centernet.detections import Detections
from centernet.inference import CsvWriter, Frame
from centernet.inference.image_writers import YoloWriter
from centernet.text import csv_cell, file_name, in_xml, shown, shown_lines, without_apostrophe, writable

NAMES = (
    *("\x1b]0;title\x07", "\x1b[2J", "a\rb", "a\nb", "a\x9b31m", "a\u202eb", "a\u2028b", "a\x00b", "gr\udcfcn"),
    *("\ud800", "=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\uff1d1", " =1", "'=1", "<script>", "&amp;", "a/b", ".."),
    *("a\\b", "a,b", 'a"b', "traffic light", "人", "é", ""),
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_controls_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = shown(name)
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 or 0xD800 <= ord(one) <= 0xDFFF for one in line)
    assert not set(line) & set("\u202e\u2028") and line.splitlines() in ([line], [])
    assert shown(line) == line, "escaped once"
    tell(name)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and printed == shown_lines(name) + "\n"
    writable(name).encode()


def test_what_can_be_shown_stays() -> None:
    for name in ("traffic light", "人", "é", "a\u200db", "a\\b", "<script>"):
        assert shown(name) == writable(name) == name
    assert shown("a\x1bb\n\udcfc") == "a\\x1bb\\n\\xfc" and shown_lines("a\n\tb") == "a\n\tb"


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_is_a_formula(name: str) -> None:
    cell = csv_cell(name)
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d"))
    assert without_apostrophe(cell) in (name, writable(name))


def test_a_table_of_detections_comes_back(tmp_path: Path) -> None:
    names = tuple(dict.fromkeys(name for name in NAMES if name and writable(name) == name and "\r" not in name))
    found = Detections(
        np.tile(np.float32([1, 2, 3, 4]), (len(names), 1)), np.arange(len(names)), np.full(len(names), 0.5),
        class_names=names,
    )  # fmt: skip
    with CsvWriter(tmp_path / "detections.csv") as writer:
        writer.write(Frame(np.zeros((9, 9, 3), np.uint8), "=cmd|'calc'!A1.jpg", None, 0), found)
    with (tmp_path / "detections.csv").open(encoding="utf-8", newline="") as file:
        text = file.read()
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in (row[0], row[3])]
    assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "-", "@")]
    assert read_csv(tmp_path / "detections.csv").classes == list(names)


@pytest.mark.parametrize("name", NAMES)
def test_xml_holds_any_name(name: str) -> None:
    root = ElementTree.fromstring(annotation_text(name, (9, 9), [((1, 2, 3, 4), name, False)]))
    assert (root.findtext("object/name") or "") == in_xml(name)


@pytest.mark.parametrize("name", NAMES)
def test_files_and_folders_stay_in_theirs(name: str, tmp_path: Path) -> None:
    path = tmp_path / file_name(name)
    assert path.parent == tmp_path and path.name not in ("", ".", "..") and "\n" not in path.name
    if "\ud800" not in name:
        path.mkdir()


def test_lists_of_classes_keep_their_numbers(tmp_path: Path) -> None:
    names = ("traffic\nlight", "car", "bus\x01", "a\r\nb")
    with YoloWriter(tmp_path / "labels", names):
        pass
    assert len((tmp_path / "labels" / "classes.txt").read_text(encoding="utf-8").splitlines()) == len(names)
