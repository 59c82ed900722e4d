"""COCO JSON: mapping of ids, ignore flags, and every defect named."""

from __future__ import annotations

import gzip
import json
import warnings
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
        (box(bbox=None, segmentation=[[1, 1, 5, 5]]), "bad-box", "no box around its outline"),
        (box(bbox=None, segmentation={"size": [6, 8], "counts": [3, 45]}), "bad-box", "its mask has 6×8 pixels"),
        (box(image_id=True), "unknown-image", "no image has the id True"),
        (
            box(iscrowd="some"),
            "unknown-value",
            "iscrowd is 'some', expected 0 or 1; in 1 entries, which count as objects",
        ),
        (box(iscrowd=2), "unknown-value", "iscrowd is 2"),
        (box(ignore=[1]), "unknown-value", "ignore is [1]"),
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
    assert len(dataset.annotation(0)) == 3 + (kind == "unknown-value")
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


def many(**changes: Any) -> list[dict[str, Any]]:
    """The same entry for three boxes of cats."""
    return [box(id=i, bbox=[10 * i, 5, 20, 30]) | changes for i in range(3)]


@pytest.mark.parametrize("flag", [0, "0", False, "false", None, "", 0.0, "No", " 0 "])
def test_flags_that_are_not_set(write: Write, flag: Any) -> None:
    dataset = COCO(write(annotations=many(iscrowd=flag, ignore=flag)))
    assert dataset.problems == [] and not dataset.columns.ignore.any()


@pytest.mark.parametrize("flag", [1, "1", True, "true", 1.0, "YES"])
@pytest.mark.parametrize("name", ["iscrowd", "ignore"])
def test_flags_that_are_set(write: Write, name: str, flag: Any) -> None:
    dataset = COCO(write(annotations=[*many(), *many(**{name: flag})]))
    assert dataset.problems == [] and dataset.annotation(0).ignore.tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize("changes", [{"iscrowd": 1}, {"iscrowd": "1"}, {"ignore": True}])
def test_a_flag_that_is_set_everywhere_is_named(write: Write, changes: Any) -> None:
    with pytest.warns(DataWarning, match=r"iscrowd \(or ignore\) is set in all 3 annotations: .*no object to learn"):
        assert COCO(write(annotations=many(**changes))).problems[0].kind == "all-ignored"


@pytest.mark.parametrize("text_on", ["annotations", "images", "both"])
@pytest.mark.parametrize("form", [str, "{:03d}".format, float, "{}.0".format])
def test_ids_in_other_forms_are_the_same(write: Write, text_on: str, form: Callable[[int], Any]) -> None:
    images = [{**entry, "id": form(entry["id"])} for entry in IMAGES] if text_on != "annotations" else IMAGES
    entries = [{**entry, "image_id": form(entry["image_id"])} for entry in ANNOTATIONS]
    entries = entries if text_on != "images" else ANNOTATIONS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = COCO(write(images=images, annotations=entries), strict=True)
    assert [dataset.annotation(i).image_id for i in range(2)] == [11, 5]
    assert [len(dataset.annotation(i)) for i in range(2)] == [3, 0]
    assert {problem.kind for problem in dataset.problems} <= {"id-as-text"}


def test_category_ids_as_text_are_the_same(write: Write) -> None:
    entries = [{**entry, "category_id": str(entry["category_id"])} for entry in ANNOTATIONS]
    with pytest.warns(DataWarning, match=r"3 of the ids by which annotations name their category .*'90' for 90"):
        assert COCO(write(annotations=entries)).annotation(0).labels.tolist() == [2, 0, 1]
    categories = [{**entry, "id": str(entry["id"])} for entry in CATEGORIES]
    assert COCO(write(categories=categories)).category_ids == (3, 7, 90)


def test_ids_of_which_two_are_the_same_number_are_not_guessed(write: Write) -> None:
    images = [{**IMAGES[0], "id": "1"}, {**IMAGES[1], "id": "01"}]
    with pytest.warns(DataWarning, match="no image has the id 1") as caught:
        COCO(write(images=images, annotations=[box(image_id=1)]))
    assert "numbered by their place" in str(caught[0].message)


OUTLINES: list[Any] = [
    [[10, 20, 40, 20, 40, 30, 10, 30]],
    [10, 20, 40, 20, 40, 30, 10, 30],
    [[10, 20, 12, 20, 12, 30], [30, 22, 40, 22, 40, 28]],
    {"size": [60, 80], "counts": [10 * 60 + 20, *[10, 50] * 29, 10, 80 * 60 - 39 * 60 - 30]},
]


@pytest.mark.parametrize("segmentation", OUTLINES)
@pytest.mark.parametrize("missing", [{}, {"bbox": None}, {"bbox": []}])
def test_a_missing_box_is_that_around_the_outline(write: Write, segmentation: Any, missing: Any) -> None:
    entry = {key: value for key, value in box(segmentation=segmentation).items() if key != "bbox"} | missing
    with pytest.warns(DataWarning, match="1 annotations have no bbox, the first is annotations"):
        dataset = COCO(write(annotations=[entry]), strict=True)  # no defect
    assert dataset.annotation(0).boxes.tolist() == [[10, 20, 40, 30]]
    assert [problem.kind for problem in dataset.problems] == ["box-of-outline"]


PROJECT = {"id": 0, "name": "animals", "supercategory": "none"}


@pytest.mark.parametrize(
    ("categories", "names"),
    [
        ([PROJECT, *({**entry, "supercategory": "animals"} for entry in CATEGORIES)], ("cat", "dog", "bird")),
        ([*({**entry, "supercategory": "animals"} for entry in CATEGORIES), PROJECT], ("cat", "dog", "bird")),
        (
            [{**PROJECT, "name": "cat"}, *({**entry, "supercategory": "cat"} for entry in CATEGORIES)],
            ("cat", "dog", "bird"),
        ),
        ([{"id": 0, "name": "dog"}, *CATEGORIES], ("cat", "dog", "bird")),  # the name of a class, and no word more
        (
            [PROJECT, {"id": 1, "name": "pets", "supercategory": "animals"},
             *({**entry, "supercategory": "pets"} for entry in CATEGORIES)],
            ("cat", "dog", "bird"),
        ),
        ([{**entry, "supercategory": entry["name"]} for entry in CATEGORIES], ("cat", "dog", "bird")),
        ([PROJECT, *CATEGORIES], ("animals", "cat", "dog", "bird")),  # a class without a box is one all the same
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_categories_over_others_are_no_classes(write: Write, categories: list[Any], names: tuple[str, ...]) -> None:
    dataset = COCO(write(categories=categories), strict=True)
    assert dataset.class_names == names
    assert [dataset.class_names[label] for label in dataset.annotation(0).labels] == ["bird", "cat", "dog"]
    left_out = len(categories) - len(names)
    assert len(dataset.problems) == left_out
    assert all(problem.kind == "left-out-class" and "no class" in problem.message for problem in dataset.problems)


def test_a_category_over_others_with_a_box_or_by_choice_is_a_class(write: Write) -> None:
    categories = [PROJECT, *({**entry, "supercategory": "animals"} for entry in CATEGORIES)]
    used = write(categories=categories, annotations=[*ANNOTATIONS, box(category_id=0)])
    assert COCO(used).class_names == ("animals", "cat", "dog", "bird")
    chosen = COCO(write(categories=categories), class_names=["dog", "animals", "cat", "bird"])
    assert chosen.category_ids == (7, 0, 3, 90) and chosen.problems == []


@pytest.mark.parametrize("second", ["a.jpg", "./a.jpg", "A.JPG", "images/a.jpg", "images\\a.jpg"])
def test_a_file_under_two_ids_is_one_image_with_all_boxes(write: Write, tmp_path: Path, second: str) -> None:
    images = [*IMAGES, {**IMAGES[0], "id": 99, "file_name": second}]
    entries = [*ANNOTATIONS, box(image_id=99), {**ANNOTATIONS[0], "image_id": 99}, box(image_id=99)]
    path = write(images=images, annotations=entries)
    with pytest.warns(DataWarning, match=r"images\[2\] \(id 99\) is the file .* of images\[0\] \(id 11\): one image"):
        dataset = COCO(path)
    assert len(dataset) == 2 and dataset.annotation(0).image_id == 11
    # The box that is there under both ids counts once; that which one id has twice is left to the check.
    boxes = dataset.annotation(0).boxes.tolist()
    assert boxes == [[10, 20, 40, 30], [0, 0, 80, 60], [1.5, 2.5, 4.5, 6.5], [1, 1, 6, 6], [1, 1, 6, 6]]
    assert any("1 boxes are there under two ids" in problem.message for problem in dataset.problems)
    (tmp_path / "list.txt").write_text(f"{second}\na.jpg\n")
    with pytest.warns(DataWarning):
        assert sorted(COCO(path, subset=tmp_path / "list.txt").annotation(0).boxes.tolist()) == sorted(boxes)


@pytest.mark.parametrize("name", ["instances.json.gz", "RESULT.JSON.GZ"])
def test_compressed_files(write: Write, tmp_path: Path, name: str) -> None:
    plain = write()
    packed = tmp_path / name
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    dataset = COCO(packed)
    assert dataset.annotation(0).labels.tolist() == [2, 0, 1] and dataset.problems == []
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(DataError, match=rf"{name}: not valid JSON .*cut off or damaged"):
        COCO(packed)
    packed.write_bytes(b"no gzip")
    with pytest.raises(DataError, match=rf"{name}: not valid JSON"):
        COCO(packed)


@pytest.mark.parametrize(
    ("boxes", "kind", "part"),
    [
        ([[0.1, 0.2, 0.5, 0.25], [0, 0, 1, 1]], "normalised-boxes", "all 2 boxes lie in 0 .. 1"),
        ([[0.5, 0.5, 0.5, 0.5]], "normalised-boxes", "all 1 boxes"),
        ([[1, 5 + i, 20, 20] for i in range(6)], "pixel-numbering", "6 of 6 boxes begin at 1 and none at 0"),
        ([*([2, 1, 20, 20 + i] for i in range(5)), [30, 30, 50, 30]], "pixel-numbering", "5 of 6 boxes begin at 1"),
        ([*([59, 5 + i, 20, 9] for i in range(5)), [0, 0, 9, 9]], "pixel-numbering", "end one pixel before the edge"),
    ],
)
def test_other_conventions_are_told_by_the_numbers(write: Write, boxes: Any, kind: str, part: str) -> None:
    with pytest.warns(DataWarning, match=part):
        dataset = COCO(write(annotations=[box(bbox=bbox) for bbox in boxes]))
    assert [problem.kind for problem in dataset.problems] == [kind]


@pytest.mark.parametrize(
    "boxes",
    [
        [[1, 5 + i, 20.5, 20] for i in range(6)],  # no whole pixels
        [[0, 5, 9, 9], *([1, 5 + i, 20, 20] for i in range(6))],
        [[60, 5, 20, 9], *([59, 5 + i, 20, 9] for i in range(5)), [0, 0, 9, 9]],
        [[1, 1, 9, 9]],
    ],
)
def test_boxes_of_the_format_s_convention_are_no_problem(write: Write, boxes: Any) -> None:
    assert COCO(write(annotations=[box(bbox=bbox) for bbox in boxes])).problems == []


def test_rounding_at_the_edge_is_not_counted_as_cut(write: Write) -> None:
    boxes = [[40, 30, 41, 31], [40, 30, 40.0001, 30.0001], [-0.5, -0.25, 9, 9], [40, 30, 43, 20]]
    dataset = COCO(write(annotations=[box(bbox=bbox) for bbox in boxes]))
    assert dataset.clipped == 1  # the last
    assert dataset.annotation(0).boxes[:3].tolist() == [[40, 30, 80, 60], [40, 30, 80, 60], [0, 0, 8.5, 8.75]]
