"""What the parsers share: JSON entry by entry, tables of text, boxes that can be used."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.annotations import json_stream
from centernet.annotations.coco import read_coco
from centernet.annotations.json_stream import read_lists
from centernet.annotations.problems import DataError, Problem, Problems, Reports
from centernet.annotations.rows import RowList, are_usable, describe_fault
from centernet.annotations.text import TextTable
from centernet.evaluation.tracking.benchmarks import read_table

VALUES: list[Any] = ['\ue000\\" ]}', 12, 3.5e-7, True, None, [], {}, [[1, [2]], {"a": [3]}], {"k": "v" * 50}, -0.0, "é"]


def collected(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, place, value in read_lists(path):
        if place is None:
            content[key] = value
        else:
            assert place == len(content[key])
            content[key].append(value)
    return content


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_lists_are_what_json_reads(tmp_path: Path, monkeypatch: Any, chunk: int, indent: int | None) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    content = {"a": VALUES, "b": [], "": {"c": VALUES}, "number": 1234567, "a ": [1234567, 89]}
    path = tmp_path / "content.json"
    for text in (json.dumps(content, indent=indent), json.dumps(content, ensure_ascii=False) + " \n", "{}", " { } "):
        path.write_text("\ufeff" + text, encoding="utf-8")
        assert collected(path) == json.loads(text)
    path.write_text('{"a": [1], "a": [2, 3]}')
    assert collected(path) == {"a": [2, 3]}  # of two the last counts


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a"', '{"a": [1, 2', '{"a": [1,]}', '{"a": [1 2]}', '{"a": 1,}', '{"a": 1} x', "{1: 2}", '{"a": tru}'],
)
def test_broken_files_are_called_what_json_calls_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError) as expected:
        json.loads(text)
    with pytest.raises(ValueError) as error:
        collected(path)
    assert str(error.value) == str(expected.value)


@pytest.mark.parametrize("text", ["[1, 2]", "7", '"text"', "null"])
def test_something_else_than_an_object_comes_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert list(read_lists(path)) == [("", None, json.loads(text))]


def test_annotations_may_come_before_what_they_speak_of(tmp_path: Path) -> None:
    boxes = [{"id": n, "image_id": f"i{n % 2}", "category_id": 7, "bbox": [n, 0, 5, 5], "area": 9} for n in range(4)]
    images = [{"id": "i1", "file_name": "b.jpg", "height": 9, "width": 9}, {"id": "i0", "file_name": "a.jpg"}]
    path, report = tmp_path / "a.json", Reports()
    path.write_text(json.dumps({"annotations": boxes, "categories": [{"id": 7, "name": "cat"}], "images": images}))
    file = read_coco(path, report)
    assert file.rows.images.tolist() == [1, 0, 1, 0] and file.rows.boxes[3].tolist() == [3, 0, 8, 5]
    assert [image.size_hw for image in file.images] == [(9, 9), None] and file.categories == {"cat": 7}
    assert file.where(2) == "annotations[2] (id 2)" and report.found == []


def test_tables_without_fault_are_those_read_row_by_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 100, (50, 7)).round(3)
    path = tmp_path / "rows.txt"
    lines = [",".join(map(str, row)) for row in values.tolist()]
    path.write_text("\n\n".join(lines) + "\n")
    fast = TextTable.read(path, (7, 9))
    path.write_text("\n\n".join([*lines, "1,2,3", "x,2,3,4,5,6,1_0"]) + "\n")
    slow = TextTable.read(path, (7, 9))
    assert np.array_equal(fast.values, values) and np.array_equal(slow.values[:50], values)
    assert fast.lines.tolist() == list(range(1, 101, 2)) == slow.lines[:50].tolist() and not fast.faults
    assert list(slow.faults) == [101, 103] and np.isnan(slow.values[50, [0, 6]]).all()
    report = Reports()
    assert len(slow.numbers(report, used=[1, 2], whole=[], what="row")) == 51 and len(report.found) == 1
    with pytest.raises(ValueError, match="line 101 has 3 columns, expected 7: 1,2,3"):
        read_table(path, (7, 9), None)


def test_boxes_that_can_be_used_are_those_without_a_fault() -> None:
    sides = [-5.0, 0.0, 1.0, 1.005, 1.02, 8.0, 10.0, 10.995, 11.0, math.inf, math.nan]
    boxes = np.array(np.meshgrid(sides, [1.0, 3.0], sides, [2.0, 9.0])).reshape(4, -1).T
    for first_pixel in (0, 1):
        usable = are_usable(boxes, np.array([[10, 10]] * len(boxes)), first_pixel=first_pixel)
        for box, right in zip(boxes.tolist(), usable.tolist(), strict=True):
            x1, y1, x2, y2 = box
            inside = min(min(x2, 10) - max(x1 - first_pixel, 0), min(y2, 10) - max(y1 - first_pixel, 0))
            expected = all(map(math.isfinite, box)) and min(x2 - x1, y2 - y1, inside) >= 0.01
            assert right == expected, (box, first_pixel)
            assert right or describe_fault(box, (10, 10))[0] in ("bad-box", "inverted-box", "empty-box", "outside-box")


def test_rows_grow_without_objects() -> None:
    rows = RowList()
    assert len(rows.rows()) == 0
    rows = RowList()
    rows.add(2, 5, (1, 2, 3, 4), 1, ignore=True, area=7)
    rows.add(0, 6, (1.5, 2, 3, 4), -1)
    found = rows.rows()
    assert found.images.tolist() == [2, 0] and found.places.tolist() == [5, 6] and found.labels.tolist() == [1, -1]
    assert found.ignore.tolist() == [True, False] and found.ids.tolist() == [-1, -1] and found.areas[0] == 7
    assert found.select(np.array([True, True])) is found and math.isnan(found.select(np.array([1])).areas[0])


def test_problems_are_held_once_and_the_first_is_an_error_where_strict() -> None:
    one, other = Problem("a", "size", "x"), Problem("a", "size", "y")
    problems = Problems([one, one])
    assert problems.add(other) and not problems.add(one) and problems == [one, other]
    with pytest.raises(DataError, match=r"a: x \(an error because of strict=True\)"):
        Reports(strict=True)("a", "size", "x")
