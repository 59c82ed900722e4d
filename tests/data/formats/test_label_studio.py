"""Label Studio's JSON: places in percent, turned regions, names of uploads, and every defect named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from centernet.data import DataError, LabelStudio
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset


def rectangle(x: Any, y: Any, w: Any, h: Any, *labels: Any, rotation: float = 0, **more: Any) -> dict[str, Any]:
    """In percent of 200×100 pixels."""
    value = {"x": x, "y": y, "width": w, "height": h, "rotation": rotation, "rectanglelabels": list(labels or ["cat"])}
    return region("rectanglelabels", value, **more)


def region(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    stated = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    return {**stated, "type": kind, "from_name": "label", "to_name": "image", "value": value, **more}


def task(number: int, image: Any, *regions: Any, **more: Any) -> dict[str, Any]:
    annotation = {
        "id": 10 + number,
        "was_cancelled": False,
        "created_at": "2024-05-01T10:00:00Z",
        "result": list(regions),
    }
    return {"id": number, "annotations": [annotation], "predictions": [], "data": {"image": image}, **more}


def write(folder: Path, *tasks: Any, images: tuple[str, ...] = ("a.jpg",), name: str = "project-1.json") -> Path:
    for image in images:
        path = folder / "images" / image
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), "gray").save(path)
    (folder / name).write_text(json.dumps(tasks))
    return folder / name


def test_boxes_of_every_kind_of_region(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        task(
            1,
            "/data/upload/1/0f3a9b1c-a.jpg",
            rectangle(10, 20, 30.5, 40),
            rectangle(50, 50, 10, 10, "dog", rotation=90),  # 20×10 pixels about (100, 50): from there to the left
            region(
                "polygonlabels", {"points": [[5, 10], [20, 10], [10, 50]], "closed": True, "polygonlabels": ["dog"]}
            ),
            region(
                "ellipselabels",
                {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 90, "ellipselabels": ["cat"]},
            ),
            region("rectangle", {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0}, id="r"),
            region("labels", {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0, "labels": ["bird"]}, id="r"),
            region("brushlabels", {"format": "rle", "rle": [0, 1], "brushlabels": ["cat"]}),
            region("keypointlabels", {"x": 5, "y": 5, "width": 0.4, "keypointlabels": ["cat"]}),
            region("vectorlabels", {"vertices": [], "closed": False, "vectorlabels": ["cat"]}),
            {"type": "choices", "from_name": "c", "to_name": "image", "value": {"choices": ["day"]}},
            {"type": "relation", "from_id": "r", "to_id": "s", "direction": "right"},
        ),
        task(2, "/data/upload/1/12345678-b.jpg"),
        images=("a.jpg", "b.jpg"),
    )
    with pytest.warns(match="left-out-shape"):
        dataset = LabelStudio(path)
    check_dataset(dataset)
    assert dataset.class_names == ("bird", "cat", "dog") and len(dataset) == 2 and len(dataset.annotation(1)) == 0
    truth = dataset.annotation(0)
    assert [dataset.class_names[label] for label in truth.labels] == ["cat", "dog", "dog", "cat", "bird"]
    assert truth.boxes.tolist() == [
        [20, 20, 81, 60],
        [90, 50, 100, 70],
        [10, 10, 40, 50],
        [95, 30, 105, 70],
        [0, 0, 100, 50],
    ]
    [problem] = dataset.problems
    assert problem.message == "3 shapes that have no box are left out: brush 1, keypoint 1, vector 1"


def test_a_turned_rectangle_in_pixels_not_in_percent(tmp_path: Path) -> None:
    """30° clockwise about its upper left corner (40, 20): 20×10 pixels."""
    dataset = LabelStudio(write(tmp_path, task(1, "a.jpg", rectangle(20, 20, 10, 10, rotation=30))))
    cos, sin = 3**0.5 / 2, 0.5
    expected = [40 - 10 * sin, 20, 40 + 20 * cos, 20 + 20 * sin + 10 * cos]
    assert dataset.annotation(0).boxes[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/upload/1/0f3a9b1c-a.jpg", "a.jpg"),
        ("/data/upload/1/0f3a9b1c-a.jpg", "0f3a9b1c-a.jpg"),
        ("/data/upload/1/0f3a9b1c-a.jpg", "upload/1/0f3a9b1c-a.jpg"),
        ("/data/local-files/?d=set%2Fone/a%20b.jpg", "set/one/a b.jpg"),
        ("/data/local-files/?d=set/one/a.jpg", "a.jpg"),
        ("https://host/path/a%20b.jpg?token=1", "a b.jpg"),
        ("s3://bucket/key/a.jpg", "key/a.jpg"),
        ("C:\\pictures\\a.jpg", "a.jpg"),
        ("upload/1/0f3a9b1c-a.jpg", "a.jpg"),
        ("a#1.jpg", "a#1.jpg"),
    ],
)
def test_names_of_images(tmp_path: Path, address: str, file: str) -> None:
    dataset = LabelStudio(write(tmp_path, task(1, address, rectangle(1, 2, 3, 4)), images=(file,)))
    assert dataset.path(0).as_posix().endswith(file) and dataset.problems == []


def test_two_uploads_of_one_name_are_not_one_image(tmp_path: Path) -> None:
    tasks = [task(n, f"/data/upload/1/0000000{n}-a.jpg", rectangle(1, 2, 3, 4)) for n in (1, 2)]
    with pytest.warns(
        match=r"upload/1/00000002-a.jpg and .*00000001-a.jpg are both found as .*a.jpg; the former is left out"
    ):
        assert len(LabelStudio(write(tmp_path, *tasks))) == 1
    both = write(tmp_path / "both", *tasks, images=("00000001-a.jpg", "00000002-a.jpg"))
    assert len(LabelStudio(both)) == 2


def minimal(number: int, image: str, regions: list[dict[str, Any]] | None, **more: Any) -> dict[str, Any]:
    keys = {"annotator": 1, "annotation_id": 10 + number, "created_at": "2024-05-01T10:00:00Z", "lead_time": 3.5}
    flat = [{**r["value"], "original_width": 200, "original_height": 100} for r in regions or ()]
    return {
        "image": image,
        "id": number,
        **({} if regions is None else {"label": flat}),
        "scene": "day",
        **keys,
        **more,
    }


def test_the_short_form(tmp_path: Path) -> None:
    polygon = region("polygonlabels", {"points": [[5, 10], [20, 10], [10, 50]], "polygonlabels": ["dog"]})
    path = write(
        tmp_path,
        minimal(1, "/data/upload/1/0f3a9b1c-a.jpg", [rectangle(10, 20, 30.5, 40), polygon]),
        minimal(2, "b.jpg", None),  # looked at, without an object
        minimal(3, "c.jpg", None, annotation_id=None),
        minimal(4, "d.jpg", [rectangle(1, 2, 3, 4)]),
        minimal(4, "d.jpg", [rectangle(10, 20, 30, 40)], created_at="2024-05-02T10:00:00Z"),
        images=("a.jpg", "b.jpg", "c.jpg", "d.jpg"),
    )
    assert find_format(path).format.name == "label-studio"
    with pytest.warns():
        dataset = LabelStudio(path)
    check_dataset(dataset)
    found = {dataset.path(i).name: dataset.annotation(i).boxes.tolist() for i in range(len(dataset))}
    assert found == {"a.jpg": [[20, 20, 81, 60], [10, 10, 40, 50]], "b.jpg": [], "d.jpg": [[20, 20, 80, 60]]}
    kinds = [problem.kind for problem in dataset.problems]
    assert kinds == ["not-annotated", "one-of-several"]


def test_which_annotation_counts(tmp_path: Path) -> None:
    first, second, third = (task(1, "a.jpg", rectangle(x, 2, 3, 4))["annotations"][0] for x in (10, 20, 30))
    several = task(1, "a.jpg")
    several["annotations"] = [first, second | {"created_at": "2025-01-01"}, third | {"ground_truth": True}]
    skipped = task(2, "b.jpg", rectangle(1, 2, 3, 4))
    skipped["annotations"][0]["was_cancelled"] = True
    old = {"id": 3, "completions": [first], "data": {"image": "c.jpg"}}
    untouched = {"id": 4, "annotations": [], "predictions": [first], "data": {"image": "d.jpg"}}
    path = write(tmp_path, several, skipped, old, untouched, images=("a.jpg", "b.jpg", "c.jpg", "d.jpg"))
    with pytest.warns() as said:
        dataset = LabelStudio(path)
    assert [dataset.annotation(i).boxes[0, 0] for i in range(len(dataset))] == [60, 20]
    assert "2 tasks have no annotation, or were skipped" in str(said[0].message)
    assert "2 further annotations of tasks are left out" in str(said[0].message)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (rectangle("10", 2, 3, 4), "task 1, region 2: expected numbers, got '10' and 2"),
        (rectangle(1, 2, 3, 4, original_width=None), "no original_width and original_height"),
        (rectangle(1, 2, 3, 4, image_rotation=90), "the image was turned in Label Studio"),
        (rectangle(1, 2, 0, 4), "has no area"),
        (rectangle(1, 2, 3, 4, ""), "task 1, region 2: no label"),
        (region("rectangle", {"x": 1, "y": 2, "width": 3, "height": 4}), "task 1, region 2: no label"),
        (region("ellipselabels", {"x": 1, "y": 2, "radiusX": 3, "ellipselabels": ["cat"]}), "radiusY is missing"),
        (region("polygonlabels", {"points": [[1, 2], [3, 4]], "polygonlabels": ["cat"]}), "a polygon of 2 points"),
        (rectangle(1, 2, 3, 4, "cat", "red"), "1 regions have several labels, of which the first counts"),
        (region("videorectangle", {"sequence": [], "labels": ["cat"]}), "timeline of a video 1"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, wrong: dict[str, Any], expected: str) -> None:
    path = write(tmp_path, task(1, "a.jpg", rectangle(10, 20, 30, 40), wrong))
    with pytest.warns():
        dataset = LabelStudio(path)
    check_dataset(dataset)
    assert expected in "\n".join(map(str, dataset.problems)) and 1 <= len(dataset.annotation(0)) <= 2
    with pytest.raises(DataError, match="strict=True"):
        LabelStudio(path, strict=True)


def test_tasks_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    good = task(1, "a.jpg", rectangle(1, 2, 3, 4))
    path = write(
        tmp_path,
        good,
        task(2, ["b.jpg", "c.jpg"]),
        task(3, "data:image/png;base64,AAAA"),
        task(4, "a.jpg"),
        task(5, "z.jpg"),
    )
    with pytest.warns():
        dataset = LabelStudio(path)
    text = "\n".join(map(str, dataset.problems))
    for expected in (
        "task 2: image is ['b.jpg', 'c.jpg'], expected the name of one file",
        "task 3: image is 'data:image/png;base64,AAAA'",
        "task 4: the image a.jpg has another task",
        "z.jpg: no such file",
    ):
        assert expected in text
    assert len(dataset) == 1 and len(dataset.problems) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"id": 1', "not valid JSON"),
        ("[3]", "expected a list of Label Studio's tasks, got 3"),
        ("[]", "expected a list of Label Studio's tasks, got 'an empty list'"),
        ('[{"id": 1, "annotations": [], "data": {"image": "a.jpg"}}]', "no task with an annotation.*1 tasks have no"),
        ('[{"id": 1, "annotations": [], "data": {"text": "words"}}]', r"no image among the tasks' data \(text\)"),
        (
            '[{"id": 1, "annotations": [{"result": [{"value": {"sequence": []}}]}], "data": {"video": "a.mp4"}}]',
            "timelines of videos, which are not read",
        ),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=expected):
        LabelStudio(tmp_path / "a.json")


def test_two_images_a_task(tmp_path: Path) -> None:
    pair = task(1, "", rectangle(1, 2, 3, 4))
    pair["data"] = {"left": "a.jpg", "right": "b.jpg"}
    path = write(tmp_path, pair, images=("a.jpg", "b.jpg"))
    with pytest.raises(
        DataError, match="several may be the image: left, right; give the name of the one as `image_key`"
    ):
        LabelStudio(path)
    assert LabelStudio(path, image_key="right").path(0).name == "b.jpg"


def test_tasks_that_nobody_has_annotated_are_no_data_set(tmp_path: Path) -> None:
    predicted = {"id": 1, "predictions": [{"result": [rectangle(1, 2, 3, 4)]}], "data": {"image": "a.jpg"}}
    write(tmp_path, predicted)
    with pytest.raises(DataError, match=r"project-1\.json has regions but no annotations of anybody"):
        find_format(tmp_path)
