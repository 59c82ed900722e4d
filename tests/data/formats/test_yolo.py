"""YOLO's text files: both layouts, polygons, and every defect named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from centernet.data import COCO, VOC, YOLO, DataError, DataWarning, Synthetic
from centernet.testing import check_dataset

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(
        labels: dict[str, str | None],
        content: dict[str, Any] | str | None = None,
        *,
        images: str = "images/train",
        into: str = "labels/train",
    ) -> Path:
        """80×60 pictures with these label files (None writes none), and a data.yaml."""
        for folder in (images, into):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in labels.items():
            Image.new("RGB", (80, 60)).save(tmp_path / images / f"{name}.jpg")
            if text is not None:
                (tmp_path / into / f"{name}.txt").write_text(text)
        content = {"train": images, "names": ["cat", "dog"]} if content is None else content
        path = tmp_path / "data.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return make


def test_boxes_are_shares_of_the_picture(write: Write) -> None:
    path = write({"a": "1 .5 .5 .25 .5\n0 0.05 0.5 0.2 0.1", "b": "", "c": None})
    dataset = YOLO(path)
    assert dataset.class_names == ("cat", "dog") and dataset.problems == []
    assert dataset.annotation(0).boxes.tolist() == [[30, 15, 50, 45], [0, 27, 12, 33]]
    assert dataset.annotation(0).labels.tolist() == [1, 0] and dataset.clipped == 1
    assert [len(dataset.annotation(i)) for i in range(3)] == [2, 0, 0] and dataset.without_labels == 1
    assert len(YOLO(path.parent)) == 3  # its folder will do
    check_dataset(dataset)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ({"train": "train/images", "val": "valid/images", "names": {0: "cat", 1: "dog"}, "nc": 2}, {}),
        ({"train": "../train/images", "names": ["cat", "dog"]}, {}),  # as one of the great exporters writes it
        ({"path": ".", "train": "./train/images/", "names": ["cat", "dog"]}, {}),
        ({"path": "/content/somewhere", "train": "train/images", "names": ["cat", "dog"]}, {}),
        ({"path": "..\\data", "train": "train\\images", "names": ["cat", "dog"]}, {}),
        ({"train": ["train/images"], "names": ["cat", "dog"]}, {}),
        ({"train": "nowhere/train/images", "names": ["cat", "dog"]}, {"root": "sub"}),
    ],
)
def test_the_ways_in_which_exports_name_their_folders(
    write: Write, content: dict[str, Any], options: dict[str, str], tmp_path: Path
) -> None:
    inner = "sub/nowhere/" if options else ""
    path = write({"a": "1 .5 .5 .25 .5"}, content, images=f"{inner}train/images", into=f"{inner}train/labels")
    given = {key: tmp_path / value for key, value in options.items()}
    dataset = YOLO(path, **given)  # type: ignore[arg-type]
    assert dataset.annotation(0).labels.tolist() == [1]
    check_dataset(dataset)


def test_a_split_that_is_a_list_of_pictures(write: Write, tmp_path: Path) -> None:
    row = "0 .5 .5 .5 .5"
    path = write({"a": row, "b": row, "c": row}, {"train": "lists/train.txt", "names": ["cat"]})
    (tmp_path / "lists").mkdir()
    lines = ["images/train/c.jpg", str(tmp_path / "images/train/a.jpg"), "./../b.jpg", "images/train/c.jpg", "x.jpg"]
    (tmp_path / "lists/train.txt").write_text("\n".join(lines))
    with pytest.warns(DataWarning, match="3 problems"):
        dataset = YOLO(path)
    assert [dataset.path(i).stem for i in range(len(dataset))] == ["c", "a", "b"]
    assert sorted((problem.kind, problem.message.split(":")[0]) for problem in dataset.problems) == [
        ("duplicate", "line 4 names 'images/train/c.jpg' again; it is used once"),
        ("image-name", f"1 name of an image is no path in {tmp_path}, 1 of them lead out of it; the images that end "
                       "like them are used, the first"),
        ("missing-image", "line 5 of train.txt"),
    ]  # fmt: skip


def test_the_same_boxes_as_in_other_formats(tmp_path: Path) -> None:
    scenes = Synthetic(8, size=(96, 128), seed=3)
    scenes.write(tmp_path, format="coco", split="train")
    scenes.write(tmp_path, format="voc", split="train")
    (tmp_path / "labels").mkdir()
    coco, voc = COCO(tmp_path / "annotations_train.json"), VOC(tmp_path, class_names=scenes.class_names)
    for index in range(len(coco)):
        annotation = coco.annotation(index)
        x1, y1, x2, y2 = annotation.boxes.T.astype(np.float64)
        columns = (annotation.labels, (x1 + x2) / 256, (y1 + y2) / 192, (x2 - x1) / 128, (y2 - y1) / 96)
        np.savetxt(tmp_path / "labels" / f"{annotation.path.stem}.txt", np.column_stack(columns), "%.9g")
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": list(coco.class_names)}))
    yolo = YOLO(tmp_path / "data.yaml")
    assert len(yolo) == len(coco) == len(voc) == 8
    for index in range(8):
        a, b, c = (dataset.annotation(index) for dataset in (yolo, coco, voc))
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-4)
        np.testing.assert_allclose(a.boxes, c.boxes, atol=0.02)
        assert a.labels.tolist() == b.labels.tolist() == c.labels.tolist()


def test_polygons_become_the_boxes_around_them(write: Write) -> None:
    polygon = "1 .25 .5 .5 .25 .75 .5 .5 .75\n"
    alone = YOLO(write({"a": polygon}))
    assert alone.annotation(0).boxes.tolist() == [[20, 15, 60, 45]] and alone.problems == []
    path = write({"a": polygon, "b": "0 .5 .5 .2 .2\n" + polygon})
    with pytest.warns(DataWarning, match=r"2 polygons among 1 boxes, the first: line 1 of .*a.txt"):
        assert [len(YOLO(path).annotation(i)) for i in range(2)] == [1, 2]


def test_classes_may_be_chosen_and_ordered(write: Write) -> None:
    path = write({"a": "0 .5 .5 .2 .2\n1 .3 .3 .2 .2\n0 .7 .7 .2 .2"})
    both = YOLO(path, class_names=["dog", "cat"])
    assert both.annotation(0).labels.tolist() == [1, 0, 1]
    with pytest.warns(DataWarning, match="classes that are not in class_names are left out: 'cat' 2"):
        assert YOLO(path, class_names=["dog"], strict=True).annotation(0).labels.tolist() == [0]
    with pytest.raises(DataError, match=r"'dogs' \(did you mean 'dog'\?\).*cat, dog"):
        YOLO(path, class_names=["dogs"])


@pytest.mark.parametrize(
    ("row", "kind", "part"),
    [
        ("0 .5 .5 .2", "bad-row", "4 numbers, expected 5"),
        ("0 .5 .5 .2 .2 .9", "bad-row", "6 numbers, expected 5"),
        ("0 .5 .5 .2 .2 17", "bad-row", "a detection with its score, or a track with its identity"),
        ("0 .5 .5 .2 .2 .9 7 1", "bad-row", "8 numbers, expected 5"),
        ("0 .5 .5 .2 .2" + " .5 .5 2" * 17, "bad-row", "add the line kpt_shape: [17, 3] to data.yaml"),
        ("0 .5 .5 .2 wide", "bad-row", "line 2"),
        ("cat .5 .5 .2 .2", "bad-row", "line 2"),
        ("0.5 .5 .5 .2 .2", "bad-row", "line 2"),
        ("2 .5 .5 .2 .2", "unknown-class", "the class 2 is none of 0 .. 1"),
        ("-1 .5 .5 .2 .2", "unknown-class", "-1"),
        ("0 .5 .5 -.2 .2", "inverted-box", "line 2"),
        ("0 .5 .5 0 .2", "empty-box", "line 2"),
        ("0 1.5 .5 .2 .2", "outside-box", "60×80"),
        ("0 320 240 50 50", "outside-box", "numbers are shares of the image"),
        ("0 nan .5 .2 .2", "bad-box", "finite"),
        ("0 .1 .1 .2 inf .3 .1", "bad-box", "finite"),
        ("0 .5 .5 .2 .2 17 .9", "bad-row", "in the order class x y width height score identity"),
        ("0 10 10 40 10 40 30 10 30", "outside-box", "corners far outside its image; numbers are shares"),
    ],
)
def test_wrong_rows_are_named_and_left_out(write: Write, row: str, kind: str, part: str) -> None:
    path = write({"a": f"0 .5 .5 .2 .2\n{row}\n"})
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = YOLO(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message and problem.path.endswith("a.txt")
    assert len(dataset.annotation(0)) == 1
    check_dataset(dataset)
    with pytest.raises(DataError, match="strict"):
        YOLO(path, strict=True)


@pytest.mark.parametrize("rows", [["0 .5 .5 .25 .5 .91 7"], ["0 .5 .5 .25 .5 0.5 1", "1 .5 .5 .5 .5 0.75 0"],
                                  ["0 .5 .5 .25 .5 0.5 12.0", "1 .5 .5 .5 .5"]])  # fmt: skip
def test_scores_and_identities_of_trackers(write: Write, rows: list[str]) -> None:
    path = write({"a": rows[0], "b": "\n".join(rows)})
    with pytest.warns(DataWarning, match="Scores and identities are not used"):
        dataset = YOLO(path, strict=True)
    assert dataset.annotation(0).boxes.tolist() == [[30, 15, 50, 45]] and len(dataset.annotation(1)) == len(rows)
    (problem,) = dataset.problems
    assert problem.kind == "not-used" and "class x y width height score identity" in problem.message


@pytest.mark.parametrize("last", [".75", "1 .5 .75", "0 .3 .9"])
def test_seven_numbers_may_be_a_triangle(write: Write, last: str) -> None:
    """One row does not end in a whole number, or other rows are polygons."""
    path = write({"a": "0 .25 .25 .75 .25 .5 1", "b": f"1 .25 .5 .5 .25 .75 {last}"})
    dataset = YOLO(path)
    assert dataset.problems == [] and dataset.annotation(0).boxes.tolist() == [[20, 15, 60, 60]]


@pytest.mark.parametrize(
    ("ids", "others", "counts"), [(3, 1, "of 4 rows of 7 numbers 3"), (1, 2, "of 3 rows of 7 .* 1")]
)
def test_seven_numbers_of_two_kinds_are_refused(write: Write, ids: int, others: int, counts: str) -> None:
    rows = [f"0 .5 .5 .2 .2 .9 {n + 2}" for n in range(ids)] + ["1 .25 .5 .5 .25 .75 .5"] * others
    with pytest.warns(DataWarning, match=counts):
        dataset = YOLO(write({"a": "\n".join([*rows, "0 .5 .5 .2 .2"])}))
    assert len(dataset.annotation(0)) == 1 and len(dataset.problems) == ids + others + 1
    assert {problem.kind for problem in dataset.problems} == {"bad-row"}


@pytest.mark.parametrize(("count", "numbers"), [(3, 2), (17, 3), (1, 2), (2, 3)])
def test_boxes_with_key_points(write: Write, count: int, numbers: int) -> None:
    points = " .4 .6 2"[: 6 if numbers == 2 else 8] * count
    content = {"train": "images/train", "names": ["cat", "dog"], "kpt_shape": [count, numbers]}
    path = write({"a": f"1 .5 .5 .25 .5{points}\n0 .5 .5 .5 .5{points}", "b": "0 .5 .5 .5 .5"}, content)
    dataset = YOLO(path, strict=True)
    assert dataset.annotation(0).boxes.tolist() == [[30, 15, 50, 45], [20, 15, 60, 45]]
    assert (dataset.columns.data["keypoints"][..., 2] > 0).sum(axis=1).tolist() == [count, count, 0]
    (path.parent / "labels/train/b.txt").write_text(f"0 .5 .5 .5 .5{points} .1")
    with pytest.warns(DataWarning, match=rf"numbers, expected 5 .* or {5 + count * numbers}, with the key points"):
        assert len(YOLO(path).annotation(1)) == 0


@pytest.mark.parametrize("count", [2, 4])
def test_key_points_without_kpt_shape_are_no_polygons(write: Write, count: int) -> None:
    row = "0 .5 .5 .25 .5" + " .4 .6 2" + " .5 .5 1" * (count - 1)
    with pytest.warns(DataWarning, match=rf"add the line kpt_shape: \[{count}, 3\] to data.yaml"):
        dataset = YOLO(write({"a": f"{row}\n0 .5 .5 .5 .5"}))
    assert len(dataset.annotation(0)) == 1


@pytest.mark.parametrize("shape", ["17", ["17", 4], [0, 2], [17]])
def test_a_kpt_shape_that_is_none(write: Write, shape: object) -> None:
    path = write({"a": ""}, {"train": "images/train", "names": ["cat"], "kpt_shape": shape})
    with pytest.raises(DataError, match=r"kpt_shape is .*such as \[17, 3\]"):
        YOLO(path)


@pytest.mark.parametrize(
    ("row", "box"),
    [
        ("0 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5", [20, 15, 60, 30]),
        ("0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5", [20, 15, 60, 45]),  # turned by 45 degrees
        ("0 0.25 0.5 0.5 0.25 0.625 0.5 0.375 0.75", [20, 15, 50, 45]),
    ],
)
def test_of_oriented_boxes_the_boxes_around_them(write: Write, row: str, box: list[float]) -> None:
    dataset = YOLO(write({"a": row}), strict=True)
    assert dataset.annotation(0).boxes.tolist() == [box] and dataset.problems == []


@pytest.mark.parametrize("row", ["0 0.083334 0.5 0.166669 0.2", "0 0.9583336 0.5 0.083333 1.0000001",
                                 "0 0.5001 0.5 1.0000 0.5000", "0 .25 .9167 .1250 .1667"])  # fmt: skip
def test_rounding_at_the_edge_is_no_cut(write: Write, row: str) -> None:
    dataset = YOLO(write({"a": row}))
    assert dataset.clipped == 0 and dataset.problems == []
    check_dataset(dataset)
    box = dataset.annotation(0).boxes[0]
    assert box.min() >= 0 and box[2] <= 80 and box[3] <= 60


@pytest.mark.parametrize("row", ["0 0.083334 0.5 0.176669 0.2", "0 0.5 0.5 1.1 0.5", "0 0.51 0.5 1.0 0.5"])
def test_more_than_rounding_is_a_cut(write: Write, row: str) -> None:
    assert YOLO(write({"a": row})).clipped == 1


def test_names_that_are_numbered_from_one(write: Write) -> None:
    content = {"train": "images/train", "names": {1: "cat", 2: "dog"}}
    dataset = YOLO(write({"a": "1 .5 .5 .2 .2\n2 .5 .5 .4 .4"}, content))
    assert dataset.annotation(0).labels.tolist() == [0, 1] and dataset.class_names == ("cat", "dog")
    with pytest.warns(DataWarning, match="the class 0 is none of 1 .. 2"):
        YOLO(write({"a": "0 .5 .5 .2 .2\n2 .5 .5 .4 .4"}, content))


@pytest.mark.parametrize(("rows", "named"), [((1, 2), True), ((1, 1, 2), True), ((0, 1, 2), False), ((1, 3), False)])
def test_class_numbers_that_count_from_one(write: Write, rows: tuple[int, ...], named: bool) -> None:
    with pytest.warns(DataWarning, match="none of 0 .. 1"):
        dataset = YOLO(write({"a": "".join(f"{kind} .5 .5 .{2 + place} .2\n" for place, kind in enumerate(rows))}))
    assert any("count from 1" in problem.message for problem in dataset.problems) == named


def test_label_files_without_a_picture_are_named(write: Write, tmp_path: Path) -> None:
    path = write({"a": "0 .5 .5 .2 .2"})
    for name in ("lost.txt", "classes.txt"):
        (tmp_path / "labels/train" / name).write_text("0 .5 .5 .2 .2")
    with pytest.warns(DataWarning, match=r"lost.txt: a label file without an image"):
        assert len(YOLO(path).problems) == 1


def test_pictures_that_none_has_labels_are_an_error(write: Write) -> None:
    path = write({"a": None, "b": None}, into="annotations")
    with pytest.raises(
        DataError, match=r"none of the 2 images has a label file; for images/train/a.jpg it would be .*a.txt"
    ):
        YOLO(path)


def test_unreadable_pictures_are_named(write: Write, tmp_path: Path) -> None:
    path = write({"a": "0 .5 .5 .2 .2", "b": "0 .5 .5 .2 .2"})
    (tmp_path / "images/train/b.jpg").write_text("text")
    with pytest.warns(DataWarning, match="b.jpg"):
        dataset = YOLO(path)
    assert len(dataset) == 1 and dataset.problems[0].kind == "unreadable-image"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("names: [a", "not valid YAML"),
        ("- a\n", "expected the keys names and train"),
        ("train: images/train\n", "got the keys train"),
        ({"train": "images/train", "names": []}, "names is"),
        ({"train": "images/train", "names": {0: "a", 2: "b"}}, "expected 0 .. 1"),
        ({"train": "images/train", "names": {1: "a", 3: "b"}}, "expected 1 .. 2"),
        ({"train": "images/train", "names": ["a", "a"]}, "more than once"),
        ({"train": "images/train", "names": ["a"], "nc": 2}, "nc is '2', but there are 1 names"),
        ({"train": "images/train", "nc": 2}, r"nc is '2', but the classes have no names; add the line names: \[first"),
        ({"val": "images/train", "names": ["a"]}, "the split 'train' is None; the splits there are val"),
        ({"train": "images/none", "names": ["a"]}, "'images/none' is not in .*give the folder"),
        ({"train": "/etc", "names": ["a"]}, "'/etc' leads out of the data set"),
        ({"train": "images/../../x", "names": ["a"]}, "leads out of the data set"),
        ({"train": "labels/train", "names": ["a"]}, "no images here"),
    ],
)
def test_files_that_are_wrong_are_refused(write: Write, content: Any, part: str) -> None:
    path = write({"a": "0 .5 .5 .2 .2"}, content)
    with pytest.raises(DataError, match=part):
        YOLO(path)


def test_wrong_paths_are_named(tmp_path: Path, write: Write) -> None:
    with pytest.raises(DataError, match=r"data.yaml: cannot be opened"):
        YOLO(tmp_path / "data.yaml")
    with pytest.raises(DataError, match="no such folder"):
        YOLO(write({"a": ""}), root=tmp_path / "none")


def test_names_are_text_whatever_they_look_like(write: Write) -> None:
    path = write({"a": "1 .5 .5 .2 .2"}, "train: images/train\nnames: [no, 007]\n")
    assert YOLO(path).class_names == ("no", "007")
