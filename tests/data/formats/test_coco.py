"""COCO JSON: mapping of ids, ignore flags, and every defect named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.data import COCO, DataError, DataWarning
from centernet.testing import check_dataset

Write = Callable[..., Path]

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 90, "name": "bird"}]
IMAGES = [
    {"id": 11, "file_name": "a.jpg", "height": 60, "width": 80},
    {"id": 5, "file_name": "b.jpg", "height": 60, "width": 80},
]
ANNOTATIONS = [
    {"id": 1, "image_id": 11, "category_id": 90, "bbox": [10, 20, 30, 10], "area": 222.5, "iscrowd": 0},
    {"id": 2, "image_id": 11, "category_id": 3, "bbox": [0, 0, 80, 60], "iscrowd": 1},
    {"id": 3, "image_id": 11, "category_id": 7, "bbox": [1.5, 2.5, 3, 4], "ignore": 1},
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(**changes: Any) -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        for name in ("a.jpg", "b.jpg"):
            Image.new("RGB", (80, 60)).save(tmp_path / "images" / name)
        content = {"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES, **changes}
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return path

    return make


def test_ids_flags_and_areas(write: Write) -> None:
    dataset = COCO(write())
    assert dataset.class_names == ("cat", "dog", "bird") and dataset.category_ids == (3, 7, 90)
    annotation = dataset.annotation(0)
    assert annotation.image_id == 11
    assert annotation.boxes.tolist() == [[10, 20, 40, 30], [0, 0, 80, 60], [1.5, 2.5, 4.5, 6.5]]
    assert annotation.labels.tolist() == [2, 0, 1]
    assert annotation.ignore.tolist() == [False, True, True]
    assert annotation.areas.tolist() == [222.5, 4800, 12]
    assert dataset.annotation(1).image_id == 5 and len(dataset.annotation(1)) == 0  # a picture of background
    assert dataset.problems == []
    check_dataset(dataset)


def test_classes_may_be_chosen_and_ordered(write: Write) -> None:
    with pytest.warns(DataWarning, match="classes that are not in class_names are left out: 'cat' 1"):
        dataset = COCO(write(), class_names=["bird", "dog"], strict=True)  # chosen, so no error
    assert dataset.category_ids == (90, 7) and dataset.annotation(0).labels.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"'birds' \(did you mean 'bird'\?\).*cat, dog, bird"):
        COCO(write(), class_names=["birds"])
    whole = COCO(write()).with_class_names(["fish", "bird", "dog", "cat"])
    assert whole.annotation(0).labels.tolist() == [1, 3, 2]
    assert whole.category_ids is not None and whole.category_ids[1:] == (90, 7, 3)
    assert len(set(whole.category_ids)) == 4


def test_counts_of_real_data_are_those_of_the_raw_file(shared: Path) -> None:
    path = shared / "data/coco/annotations.json"
    content = json.loads(path.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    trained: Counter[str] = Counter()
    crowd: Counter[str] = Counter()
    for entry in content["annotations"]:
        (crowd if entry["iscrowd"] else trained)[names[entry["category_id"]]] += 1
    dataset = COCO(path)
    assert len(dataset) == 100 and len(dataset.class_names) == 80 and dataset.problems == []
    objects, ignored, pictures = dataset.label_arrays()
    assert sum(objects) + sum(ignored) == 852 and sum(ignored) == 10  # of the set's README
    for label, name in enumerate(dataset.class_names):
        assert (objects[label], ignored[label]) == (trained[name], crowd[name])
    by_image = Counter((entry["image_id"], entry["category_id"]) for entry in content["annotations"])
    assert pictures.sum() == len(by_image)
    areas = {entry["id"]: entry["area"] for entry in content["annotations"]}
    assert np.isclose(sum(areas.values()), sum(dataset.annotation(i).areas.sum() for i in range(100)), rtol=1e-5)
    check_dataset(dataset)


def test_a_subset_by_file_names(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/coco"
    parts = [COCO(folder / "annotations.json", subset=folder / f"{split}2017.txt") for split in ("train", "val")]
    assert [len(part) for part in parts] == [50, 50]
    assert len({part.annotation(i).image_id for part in parts for i in range(50)}) == 100
    names = (folder / "val2017.txt").read_text().split()
    assert [parts[1].path(i).name for i in range(50)] == names
    (tmp_path / "list.txt").write_text(f"{names[3]}\nnone.jpg\n")
    with pytest.warns(DataWarning, match=r"no image of the JSON file has the file name 'none.jpg'"):
        assert len(COCO(folder / "annotations.json", subset=tmp_path / "list.txt")) == 1


def box(**changes: Any) -> dict[str, Any]:
    return {"id": 9, "image_id": 11, "category_id": 3, "bbox": [1, 1, 5, 5], **changes}


@pytest.mark.parametrize(
    ("entry", "kind", "part"),
    [
        (box(image_id=12), "unknown-image", "no image has the id 12"),
        (box(image_id=[11]), "unknown-image", "no image has the id [11]"),
        (box(category_id=4), "unknown-class", "no category has the id 4"),
        (box(category_id=None), "unknown-class", "no category has the id None"),
        (box(bbox=[10, 10, -5, 5]), "inverted-box", "inverted"),
        (box(bbox=[10, 10, 0, 5]), "empty-box", "no area"),
        (box(bbox=[90, 10, 5, 5]), "outside-box", "60×80"),
        (box(bbox=[-9, 10, 5, 5]), "outside-box", "60×80"),
        (box(bbox=[float("nan"), 10, 5, 5]), "bad-box", "finite"),
        (box(bbox=[1, 10, float("inf"), 5]), "bad-box", "finite"),
        (box(bbox=[1, 2, 3]), "bad-box", "four numbers"),
        (box(bbox=None), "bad-box", "four numbers"),
        (box(bbox=["a", 2, 3, 4]), "bad-box", "four numbers"),
        ("text", "bad-box", "expected an object"),
    ],
)
def test_wrong_annotations_are_named_and_left_out(write: Write, entry: Any, kind: str, part: str) -> None:
    path = write(annotations=[*ANNOTATIONS, entry])
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = COCO(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message and "annotations[3]" in problem.message
    assert problem.path == str(path)
    assert len(dataset.annotation(0)) == 3
    check_dataset(dataset)
    with pytest.raises(DataError, match="strict"):
        COCO(path, strict=True)


def test_a_misspelt_key_whose_meaning_would_be_lost_is_named(write: Write) -> None:
    entries = [{**box(), "is_crowd": 1}, box(iscrowd=0, crowdedness=3, attributes={}), {**box(), "Ignore": 1}]
    with pytest.warns(DataWarning, match="2 problems"):
        dataset = COCO(write(annotations=entries))
    assert {problem.kind for problem in dataset.problems} == {"unknown-key"}
    messages = sorted(problem.message for problem in dataset.problems)
    assert "annotations[0]: unknown key 'is_crowd' (did you mean 'iscrowd'?)" in messages[0]
    assert "annotations[2]: unknown key 'Ignore' (did you mean 'ignore'?)" in messages[1]


LOOKALIKES: list[Any] = [
    "1234",
    {"0": 1, "1": 2, "2": 3, "3": 4},
    [1, 2, True, 4],
    ["1", "3_0", 3, 4],
    [1, 2, 10**400, 4],
]


@pytest.mark.parametrize("bbox", LOOKALIKES)
def test_what_only_looks_like_four_numbers(write: Write, bbox: Any) -> None:
    with pytest.warns(DataWarning, match="four numbers"):
        assert len(COCO(write(annotations=[box(bbox=bbox)])).annotation(0)) == 0


def test_areas_that_no_float32_holds_are_those_of_the_box(write: Write) -> None:
    entries = [box(area=area) for area in (10**400, 1e300, -1, float("nan"), "9", 7)]
    assert COCO(write(annotations=entries)).annotation(0).areas.tolist() == [25, 25, 25, 25, 25, 7]


def test_a_subset_that_is_no_text(write: Write, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a.jpg\n\xff\xfe.jpg\n")
    with pytest.warns(DataWarning, match="no image of the JSON file has the file name"):
        assert len(COCO(write(), subset=tmp_path / "list.txt")) == 1


@pytest.mark.parametrize(
    ("entry", "kind", "part"),
    [
        ({"id": 1, "file_name": "gone.jpg", "height": 60, "width": 80}, "missing-image", "no such file"),
        ({"id": 1, "file_name": "../a.jpg", "height": 60, "width": 80}, "missing-image", "leads out of the folder"),
        ({"id": 1, "file_name": "/etc/hostname", "height": 6, "width": 8}, "missing-image", "leads out of the folder"),
        ({"id": 1, "file_name": "x/../../a.jpg", "height": 6, "width": 8}, "missing-image", "leads out of the folder"),
        ({"id": 11, "file_name": "b.jpg", "height": 60, "width": 80}, "duplicate", "has the id 11 of another"),
        ({"id": 1, "height": 60, "width": 80}, "missing-image", "images[2]"),
        (17, "missing-image", "images[2]"),
    ],
)
def test_wrong_images_are_named_and_left_out(write: Write, entry: Any, kind: str, part: str) -> None:
    path = write(images=[*IMAGES, entry])
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = COCO(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert len(dataset) == 2


def test_a_missing_size_is_read_from_the_picture(write: Write) -> None:
    path = write(images=[IMAGES[0], {"id": 5, "file_name": "B.JPG", "height": 0, "width": 0}])
    with pytest.warns(DataWarning, match="60×80"):
        dataset = COCO(path)
    assert (dataset.annotation(1).height, dataset.annotation(1).width) == (60, 80)
    assert dataset.path(1).name == "b.jpg"  # found whatever the case


def test_ids_that_are_text_become_numbers(write: Write) -> None:
    images = [{**IMAGES[0], "id": "eleven"}, {**IMAGES[1], "id": "five"}]
    path = write(images=images, annotations=[{**ANNOTATIONS[0], "image_id": "five"}])
    with pytest.warns(DataWarning, match="numbered by their place"):
        dataset = COCO(path)
    assert [dataset.annotation(i).image_id for i in range(2)] == [0, 1]
    assert [len(dataset.annotation(i)) for i in range(2)] == [0, 1]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "not valid JSON"),
        ('{"images": [', "not valid JSON"),
        ('[{"image_id": 1, "score": 0.5}]', "detection results"),
        ("7", "got int"),
        ('{"images": [], "annotations": []}', "'categories' is missing"),
        ('{"images": [], "annotations": {}, "categories": []}', "'annotations' is missing or no list"),
        ('{"images": [], "annotations": [], "categories": []}', "categories is empty"),
        ('{"images": [], "annotations": [], "categories": [{"name": "a"}]}', r"categories\[0\]"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}', "twice"),
    ],
)
def test_files_that_are_not_coco_are_refused(tmp_path: Path, content: str, part: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"wrong.json: .*{part}"):
        COCO(path, tmp_path)


def test_wrong_paths_say_what_was_tried(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.json: cannot be opened"):
        COCO(tmp_path / "none.json")
    with pytest.raises(DataError, match="no such folder"):
        COCO(write(), tmp_path / "pictures")
    path = write()
    elsewhere = (tmp_path / "images").rename(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    with pytest.raises(DataError, match=r"'a.jpg' are in none of .*give their folder as `images`"):
        COCO(path)
    assert len(COCO(path, elsewhere)) == 2
    with pytest.raises(DataError, match=r"no usable image.*\n.*2 missing-image|no usable image. 2 problems"):
        COCO(path, tmp_path)


def test_coco_s_own_layout_is_found(write: Write, tmp_path: Path) -> None:
    path = write()
    (tmp_path / "annotations").mkdir()
    moved = path.rename(tmp_path / "annotations" / "instances_train2017.json")
    (tmp_path / "images").rename(tmp_path / "train2017")
    assert COCO(moved).path(0) == tmp_path / "train2017" / "a.jpg"


def test_names_with_folders(write: Write, tmp_path: Path) -> None:
    path = write(images=[{**IMAGES[0], "file_name": "sub\\a.jpg"}, {**IMAGES[1], "file_name": "./sub/b.jpg"}])
    (tmp_path / "images").rename(tmp_path / "sub")
    dataset = COCO(path)
    assert [dataset.path(i) for i in range(2)] == [tmp_path / "sub/a.jpg", tmp_path / "sub/b.jpg"]
    assert dataset[1].image.shape == (60, 80, 3)
