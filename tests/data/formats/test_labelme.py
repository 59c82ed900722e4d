"""LabelMe's files: boxes of every kind of shape, images where the files say they are, and every defect named."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from centernet.data import DataError, LabelMe
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset

TURNED = [[20, 10], [40, 20], [35, 30], [15, 20]]


def shape(kind: str, points: list[list[float]], label: str = "cat", **more: Any) -> dict[str, Any]:
    keys = {"group_id": None, "description": "", "shape_type": kind, "flags": {}, "mask": None}
    return {"label": label, "points": points, **keys, **more}


def write(path: Path, *shapes: Any, image: str | None = None, **more: Any) -> Path:
    """As labelme 5.5 and 6.3 write it; the picture beside it where its name is not stated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if image is None:
        picture(path.with_suffix(".jpg"))
    stated = {"imagePath": image or f"{path.stem}.jpg", "imageData": None, "imageHeight": 60, "imageWidth": 80}
    path.write_text(json.dumps({"version": "6.3.1", "flags": {}, "shapes": list(shapes), **stated, **more}, indent=2))
    return path


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 60), "gray").save(path)


def test_boxes_of_every_kind_of_shape(tmp_path: Path) -> None:
    write(
        tmp_path / "a.json",
        shape("rectangle", [[40.5, 30], [10, 5.25]], "dog"),  # drawn from below
        shape("polygon", [[1, 2], [30, 4], [15, 20]]),
        shape("circle", [[40, 30], [43, 34]]),
        shape("oriented_rectangle", TURNED),
        shape("rotation", TURNED, direction=0.46),
        shape("mask", [[10, 10], [19, 29]], mask="iVBORw0KGgo="),  # 10×20 pixels
        {"label": "dog", "points": [[1, 1], [9, 1], [9, 9]], "line_color": None},  # of version 3: a polygon
        shape("linestrip", [[1, 2], [3, 4]]),
        shape("line", [[1, 2], [3, 4]]),
        shape("point", [[1, 2]]),
        shape("points", [[1, 2], [3, 4]]),
    )
    write(tmp_path / "b.json")
    with pytest.warns(match="left-out-shape"):
        dataset = LabelMe(tmp_path)
    check_dataset(dataset)
    assert dataset.class_names == ("cat", "dog") and len(dataset) == 2 and len(dataset.annotation(1)) == 0
    truth = dataset.annotation(0)
    assert truth.labels.tolist() == [1, 0, 0, 0, 0, 0, 1]
    assert truth.boxes.tolist() == [
        [10, 5.25, 40.5, 30],
        [1, 2, 30, 20],
        [35, 25, 45, 35],
        [15, 10, 40, 30],
        [15, 10, 40, 30],
        [10, 10, 20, 30],
        [1, 1, 9, 9],
    ]
    [problem] = dataset.problems
    assert problem.message == "4 shapes that have no box are left out: linestrip 1, line 1, point 1, points 1"


def test_a_group_of_one_label_is_one_object(tmp_path: Path) -> None:
    """Labelme's own converters merge them; X-AnyLabeling marks what is difficult."""
    left, right = [[1, 1], [9, 1], [5, 9]], [[30, 1], [39, 1], [35, 12]]
    write(
        tmp_path / "a.json",
        shape("polygon", left, group_id=1),
        shape("polygon", right, group_id=1),
        shape("polygon", right, "dog", group_id=1),
        shape("polygon", left, difficult=True),
        shape("polygon", right),
    )
    truth = LabelMe(tmp_path / "a.json").annotation(0)
    assert truth.boxes.tolist() == [[1, 1, 39, 12], [30, 1, 39, 12], [1, 1, 9, 9], [30, 1, 39, 12]]
    assert truth.labels.tolist() == [0, 1, 0, 0] and truth.ignore.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("image", "stated"),
    [
        ("set/a.jpg", "a.jpg"),
        ("set/a.jpg", "C:\\Users\\me\\pictures\\a.jpg"),
        ("set/a.jpg", "/home/me/a.jpg"),
        ("set/a.JPG", "a.jpg"),
        ("set/images/a.jpg", "images\\a.jpg"),
        ("set/images/a.jpg", "../images/a.jpg"),
        ("images/a.jpg", "..\\images\\a.jpg"),
        ("images/a.jpg", "a.jpg"),
        ("a.jpg", "../a.jpg"),
    ],
)
def test_images_where_the_files_say(tmp_path: Path, image: str, stated: str) -> None:
    picture(tmp_path / image)
    write(tmp_path / "set/a.json", shape("rectangle", [[1, 2], [3, 4]]), image=stated)
    dataset = LabelMe(tmp_path / "set")
    assert dataset.path(0).resolve() == tmp_path / image and dataset.problems == []


def test_files_in_folders_of_their_own(tmp_path: Path) -> None:
    """JSON in one tree, images of the same names in another; one name in two folders."""
    for name in ("one/a", "two/a"):
        picture(tmp_path / f"images/{name}.jpg")
        write(tmp_path / f"labels/{name}.json", shape("rectangle", [[1, 2], [30, 40]]), image="a.jpg")
    for given in (None, tmp_path / "images"):
        dataset = LabelMe(tmp_path / "labels", given)
        assert [dataset.path(i).parent.name for i in range(2)] == ["one", "two"] and not dataset.problems


def test_splits_are_folders(tmp_path: Path) -> None:
    write(tmp_path / "train/a.json", shape("rectangle", [[1, 2], [30, 40]]))
    write(tmp_path / "val/b.json", shape("rectangle", [[1, 2], [30, 40]]))
    source = find_format(tmp_path)
    assert source.format.name == "labelme" and list(source.splits) == ["train", "val"]
    assert source.open("val").path(0).name == "b.jpg"
    assert list(find_format(tmp_path / "train").splits) == ["train"]


def test_images_without_a_file_are_not_background(tmp_path: Path) -> None:
    write(tmp_path / "a.json", shape("rectangle", [[1, 2], [30, 40]]))
    picture(tmp_path / "b.jpg")
    (tmp_path / "notes.json").write_text('{"by": "me"}')
    with pytest.warns(match=r"1 images have no JSON file, such as b\.jpg; they are left out"):
        assert len(LabelMe(tmp_path)) == 1


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (shape("rectangle", [[1, 2]]), "shape 2: the points [[1, 2]] are no rectangle"),
        (shape("polygon", [[1, 2], [3, 4]]), "are no polygon"),
        (shape("circle", [[1, 2], [3, 4], [5, 6]]), "are no circle"),
        (shape("rectangle", [["1", "2"], ["3", "4"]]), "are no rectangle"),
        (shape("rectangle", [[1, 2], [3, None]]), "are no rectangle"),
        (shape("rectangle", [[1, 2], [1, 40]]), "shape 2 of a.jpg: the box [1, 2, 1, 40] (x1 y1 x2 y2) has no area"),
        (shape("blob", [[1, 2], [3, 4]]), "1 shapes that have no box are left out: 'blob' (unknown) 1"),
        (shape("rectangle", [[1, 2], [3, 4]], ""), "shape 2: the label is ''"),
        (shape("rectangle", [[1, 2], [3, 4]], 7), "shape 2: the label is 7"),  # type: ignore[arg-type]
        ({"label": "cat", "point": [[1, 2], [3, 4]], "shape_type": "rectangle"}, "did you mean 'points'?"),
        ("cat", "shape 2: expected an object, got 'cat'"),
        (shape("rectangle", [[1, 2], [3, 4]], difficult="no"), "difficult is 'no', expected true or false"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, wrong: Any, expected: str) -> None:
    write(tmp_path / "a.json", shape("rectangle", [[1, 2], [30, 40]]), wrong)
    with pytest.warns():
        dataset = LabelMe(tmp_path)
    check_dataset(dataset)
    assert expected in "\n".join(map(str, dataset.problems))
    with pytest.raises(DataError, match="strict=True"):
        LabelMe(tmp_path, strict=True)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / f"{name}.json", shape("rectangle", [[1, 2], [30, 40]]))
    (tmp_path / "b.json").write_text('{"shapes": [')
    write(tmp_path / "d.json", image="a.jpg")
    write(tmp_path / "e.json", image="e.jpg")
    write(tmp_path / "f.json", image="f.jpg", imageData=base64.b64encode(b"pixels").decode())
    write(tmp_path / "g.json", image="c.jpg", shapes=3)
    with pytest.warns():
        dataset = LabelMe(tmp_path)
    assert sorted(dataset.path(index).name for index in range(len(dataset))) == ["a.jpg", "c.jpg"]
    text = "\n".join(map(str, dataset.problems))
    for expected in (
        "b.json: is not valid JSON",
        "d.json: the image a.jpg has another file, a.json; this one is left out",
        "e.jpg: no such file",
        "f.json: no such file as f.jpg, only a copy in the JSON (imageData), which is not read; save it under",
        "g.json: expected a name as imagePath and a list as shapes",
        "1 images have no JSON file, such as b.jpg",
    ):
        assert expected in text
    assert len(dataset.problems) == 6


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no JSON file here"):
        LabelMe(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="none of 1 JSON files has LabelMe's imagePath and shapes"):
        LabelMe(tmp_path)
    write(tmp_path / "b.json", image="b.jpg")
    with pytest.raises(DataError, match=r"its images such as 'b\.jpg' are in none of"):
        LabelMe(tmp_path)


def test_files_that_come_near_say_why(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [shape("rectangle", [[1, 2], [30, 40]])]}))
    with pytest.raises(DataError, match=r"a\.json has shapes but no imagePath"):
        find_format(tmp_path)
