"""Open Images' CSV files, as published, and in the folders of datumaro and FiftyOne."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from centernet.data import DataError, DataWarning, OpenImages
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset

Write = Callable[..., Path]
HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
ROWS = [
    "0a,xclick,/m/01yrx,1,0.125,0.5,0.25,1,0,0,0,0,0",
    "0a,xclick,/m/0bt9lr,1,0,0.25,0,0.5,1,-1,1,0,0",
    "0b,activemil,/m/01yrx,1,0.5,1,0.5,1,-1,-1,-1,-1,-1",
    "0b,xclick,/m/0cat,1,0.5,0.75,0.5,1,0,0,0,1,0",
]
DESCRIPTIONS = '/m/0bt9lr,Dog\n/m/01yrx,Cat\n/m/09x0r,"Tortoise, or turtle"\n/m/0cat,Cat\n'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(
        rows: list[str],
        file: str = "validation-annotations-bbox.csv",
        images: str = "validation",
        classes: str | None = "class-descriptions-boxable.csv",
    ) -> Path:
        """The files, and gray 80×60 images 0a.jpg and 0b.jpg."""
        for name, text in ((file, "\n".join([HEADER, *rows, ""])), (classes, DESCRIPTIONS)):
            if name is not None:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(text)
        (tmp_path / images).mkdir(parents=True, exist_ok=True)
        for name in ("0a", "0b"):
            Image.new("RGB", (80, 60), "gray").save(tmp_path / images / f"{name}.jpg")
        return tmp_path / file

    return make


@pytest.mark.parametrize(
    ("file", "images", "classes"),
    [
        ("validation-annotations-bbox.csv", "validation", "class-descriptions-boxable.csv"),
        ("oidv6-validation-annotations-bbox.csv", "images", "oidv7-class-descriptions-boxable.csv"),
        ("annotations/validation-annotations-bbox.csv", "images/validation", "annotations/class-descriptions.csv"),
        ("validation/labels/detections.csv", "validation/data", "validation/metadata/classes.csv"),
    ],
)
def test_boxes_names_and_groups(write: Write, tmp_path: Path, file: str, images: str, classes: str) -> None:
    path = write(ROWS, file, images, classes)
    if "v7" in classes:
        (tmp_path / classes).write_text("LabelName,DisplayName\n" + DESCRIPTIONS)
    dataset = OpenImages(path)
    assert dataset.class_names == ("Dog", "Cat", "Cat (/m/0cat)") and dataset.problems == []
    assert dataset.annotation(0).boxes.tolist() == [[10, 15, 40, 60], [0, 0, 20, 30]]
    assert dataset.annotation(0).labels.tolist() == [1, 0] and dataset.annotation(0).ignore.tolist() == [False, True]
    assert dataset.annotation(1).labels.tolist() == [1, 2] and not dataset.annotation(1).ignore.any()
    check_dataset(dataset)
    source = find_format(tmp_path)
    assert source.format.name == "open-images" and list(source.splits) == ["val"]
    assert OpenImages(path, ignore=["IsDepiction"]).annotation(1).ignore.tolist() == [False, True]
    with pytest.raises(DataError, match=r"ignore: expected names of IsOccluded, .*, got IsGroupOf"):
        OpenImages(path, ignore="IsGroupOf")


def test_a_part_of_the_images(write: Write, tmp_path: Path) -> None:
    others = [f"{number:04x},xclick,/m/01yrx,1,0,1,0,1,0,0,0,0,0" for number in range(9000)]
    path = write([*others, *ROWS])
    with pytest.warns(DataWarning, match=r"9000 boxes are of images that are not there, the first '0000'; .* left out"):
        dataset = OpenImages(path)
    assert len(dataset) == 2 and sum(len(dataset.annotation(i)) for i in range(2)) == 4
    (tmp_path / "validation").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"its images such as .* are in none of .*; give their folder as `images`"):
        OpenImages(path)
    with pytest.warns(DataWarning, match="9000 boxes"):
        assert len(OpenImages(path, tmp_path / "moved", class_names=["Cat", "Dog"])) == 2


@pytest.mark.parametrize(
    "name", ["validation-images-with-rotation.csv", "validation-images-with-labels-with-rotation.csv"]
)
def test_listed_images_without_boxes(write: Write, tmp_path: Path, name: str) -> None:
    path = write(ROWS[:2])
    (tmp_path / name).write_text('ImageID,Subset,Title\n0a,validation,x\n0b,validation,"a, b"\n0c,validation,\n')
    if "labels" in name:  # images whose boxes nobody looked for
        assert len(OpenImages(path)) == 1
        return
    with pytest.warns(DataWarning, match=r"1 images without a box, such as 0b.jpg: examples of background"):
        dataset = OpenImages(path)
    assert [len(dataset.annotation(i)) for i in range(2)] == [2, 0]
    check_dataset(dataset)
    (tmp_path / name).write_text("Subset\nvalidation\n")
    with pytest.raises(DataError, match="expected a header with the column ImageID"):
        OpenImages(path)


def test_images_in_a_folder_for_each_class(write: Write, tmp_path: Path) -> None:
    path = write(ROWS, "csv_folder/validation-annotations-bbox.csv", "Dataset/validation/Cat")
    (tmp_path / "Dataset/validation/Dog").mkdir()
    (tmp_path / "Dataset/validation/Cat/0b.jpg").rename(tmp_path / "Dataset/validation/Dog/0b.jpg")
    dataset = OpenImages(path, tmp_path / "Dataset/validation")
    assert [dataset.path(i).parts[-2:] for i in range(2)] == [("Cat", "0a.jpg"), ("Dog", "0b.jpg")]
    assert [len(dataset.annotation(i)) for i in range(2)] == [2, 2]


def test_labels_without_names_and_flags_that_are_not_there(write: Write) -> None:
    path = write([row.rpartition(",0")[0].rpartition(",")[0] for row in ROWS[:1]], classes=None)
    path.write_text("ImageID,LabelName,YMax,XMin,XMax,YMin\n0a,/m/01yrx,1,.125,.5,.25\n")
    with pytest.warns(DataWarning, match=r"2 notes .*\n.*no column IsGroupOf.*\n.*1 labels have no name .*: /m/01yrx"):
        dataset = OpenImages(path)
    assert dataset.class_names == ("/m/01yrx",) and dataset.annotation(0).boxes.tolist() == [[10, 15, 40, 60]]


@pytest.mark.parametrize(
    ("row", "kind", "part"),
    [
        ("0a,xclick,/m/01yrx,1,0.125,0.5,0.25,1,0,0,0,0", "bad-row", "has 12 columns, expected 13; it is left out"),
        ("0a,xclick,/m/01yrx,1,0.125,0.5,0.25,x,0,0,0,0,0", "bad-row", "could not convert string to float: 'x'"),
        ("0a,xclick,/m/01yrx,1,0.125,0.5,0.25,1,0,0,yes,0,0", "bad-row", "has 'yes' where 1, 0 or -1 is expected"),
        ("0a,xclick,,1,0.125,0.5,0.25,1,0,0,0,0,0", "bad-row", "has no LabelName"),
        ("0a,xclick,/m/01yrx,1,0.5,0.125,0.25,1,0,0,0,0,0", "inverted-box", "line 6 of 0a.jpg"),
        ("0a,xclick,/m/01yrx,1,10,20,10,20,0,0,0,0,0", "outside-box", "line 6 of 0a.jpg"),  # pixels
        ("0c,xclick,/m/01yrx,1,0,1,0,1,0,0,0,0,0", "missing-image", "1 boxes are of images that are not there"),
    ],
)
def test_wrong_rows_are_named_and_left_out(write: Write, row: str, kind: str, part: str) -> None:
    path = write([*ROWS, row])
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = OpenImages(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert [len(dataset.annotation(i)) for i in range(2)] == [2, 2]
    with pytest.raises(DataError, match="strict"):
        OpenImages(path, strict=True)


def test_other_tables_are_refused(write: Write, tmp_path: Path) -> None:
    path = write(ROWS)
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/01yrx\n")
    with pytest.raises(DataError, match=r"boxable\.csv: line 1: expected a label and its name, got '/m/01yrx'"):
        OpenImages(path)
    path.write_text(path.read_text().replace("XMax", "XMux"))
    with pytest.raises(DataError, match="expected a header with the columns ImageID, LabelName, XMin, XMax"):
        OpenImages(path)
