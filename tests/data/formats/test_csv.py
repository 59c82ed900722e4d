"""CSV files of boxes: the two usual forms, other headers, and every defect named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from centernet.data import CSV, DataError, DataWarning, DetectionDataset
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str | bytes, name: str = "boxes.csv", images: tuple[str, ...] = ("a.jpg", "b.jpg", "c.jpg")) -> Path:
        """The file and gray 80×60 images beside it."""
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for image in images:
            (path.parent / image).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 60), "gray").save(path.parent / image)
        return path

    return make


def boxes_of(dataset: DetectionDataset) -> dict[str, list[tuple[str, list[float]]]]:
    found = {}
    for index in range(len(dataset)):
        truth = dataset.annotation(index)
        names = [dataset.class_names[label] for label in truth.labels]
        found[truth.path.name] = sorted(zip(names, truth.boxes.round(3).tolist(), strict=True))
    return found


EXPECTED = {
    "a.jpg": [("cat", [10, 5, 40.5, 30]), ("dog", [1, 2, 9, 40])],
    "b.jpg": [("dog", [0, 0, 80, 60])],
    "c.jpg": [],
}
RETINANET = "a.jpg,10,5,40.5,30,cat\na.jpg,1,2,9,40,dog\nc.jpg,,,,,\nb.jpg,0,0,80,60,dog\n"
TENSORFLOW = """filename,width,height,class,xmin,ymin,xmax,ymax
a.jpg,80,60,cat,10,5,40.5,30
a.jpg,80,60,dog,1,2,9,40
b.jpg,80,60,dog,0,0,80,60
c.jpg,80,60,,,,,
"""


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
@pytest.mark.parametrize(
    "text",
    [
        RETINANET,
        TENSORFLOW,
        RETINANET.replace(",", ";"),
        RETINANET.replace(",", "\t").replace("\n", "\r\n"),
        TENSORFLOW.replace(",", ";").replace("40.5", "40,5"),  # with decimal commas
        "\ufeff" + TENSORFLOW,
        TENSORFLOW.encode("utf-16"),
        TENSORFLOW.partition("\n")[2],
        '"a.jpg","10","5","40.5","30","cat"\n"a.jpg","1","2","9","40","dog"\nc.jpg\nb.jpg,0,0,80,60,dog,,\n',
        "image_path,x_min,y_min,x_max,y_max,class_name\n" + RETINANET,
        "x1,y1,x2,y2,label,path\n" + re.sub(r"(.*?),(.*)", r"\2,\1", RETINANET),
        "image,x0,y0,x1,y1,name\n" + RETINANET,
        "\n\nimage_id,left,top,right,bottom,label\n\n" + RETINANET.replace(".jpg", ""),
        "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
        "cat,10,5,30.5,25,a.jpg,80,60\ndog,1,2,8,38,a.jpg,80,60\ndog,0,0,80,60,b.jpg,80,60\n,,,,,c.jpg,80,60\n",
        "cat,10,5,30.5,25,a.jpg,80,60\ndog,1,2,8,38,a.jpg,80,60\ndog,0,0,80,60,b.jpg,80,60\n,,,,,c.jpg,80,60\n",
        "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;Class\na.jpg;80;60;10;5;40.5;30;cat\na.jpg;80;60;1;2;9;40;dog\n"
        "b.jpg;80;60;0;0;80;60;dog\nc.jpg;80;60;;;;;\n",
        "image,x,y,width,height,class\na.jpg,10,5,30.5,25,cat\na.jpg,1,2,8,38,dog\nb.jpg,0,0,80,60,dog\nc.jpg,,,,,\n",
        "img,cx,cy,w,h,category\na.jpg,25.25,17.5,30.5,25,cat\na.jpg,5,21,8,38,dog\nb.jpg,40,30,80,60,dog\nc.jpg,,,,,\n",
    ],
)  # fmt: skip
def test_forms_hold_the_same_boxes(write: Write, text: str | bytes) -> None:
    path = write(text)
    dataset = CSV(path)
    assert boxes_of(dataset) == EXPECTED and {problem.kind for problem in dataset.problems} <= {"assumed"}
    assert find_format(path.parent).splits == {"train": {"annotations": path}}
    check_dataset(dataset)


def test_names_with_marks_and_letters(write: Write) -> None:
    images = ("one, two/ü.png", "three.jpg")
    rows = ['"one, two/ü.png";"ein; Hund";1;2;30;40', 'three.jpg;Köter "Rex";1;2;30;40']
    dataset = CSV(write("\r\n".join(["\ufefffile;class;left;top;right;bottom", *rows]), images=images))
    assert dataset.class_names == ('Köter "Rex"', "ein; Hund") and len(dataset) == 2
    check_dataset(dataset)


@pytest.mark.parametrize(
    ("convention", "box"), [("edges", [10, 5, 40, 30]), ("inclusive", [10, 5, 41, 31]), ("voc", [9, 4, 40, 30])]
)
def test_the_convention_is_an_option(write: Write, convention: str, box: list[float]) -> None:
    dataset = CSV(write("a.jpg,10,5,40,30,cat\n"), convention=convention)  # type: ignore[arg-type]
    assert dataset.annotation(0).boxes.tolist() == [box]
    with pytest.raises(DataError, match="convention: expected one of edges, inclusive, voc, got pascal"):
        CSV(write("a.jpg,10,5,40,30,cat\n"), convention="pascal")  # type: ignore[arg-type]


@pytest.mark.parametrize("header", ["", "filename,xmin,ymin,xmax,ymax,class\n"])
def test_shares_of_the_image_are_known_by_their_values(write: Write, header: str) -> None:
    path = write(header + "a.jpg,.125,0.25,0.5,1,cat\nb.jpg,0,0,1,1.0000001,dog\n")
    with pytest.warns(DataWarning, match=r"1 note .*\n.*all coordinates are between 0 and 1"):
        dataset = CSV(path, convention="inclusive")
    assert boxes_of(dataset) == {"a.jpg": [("cat", [10, 15, 40, 60])], "b.jpg": [("dog", [0, 0, 80, 60])]}
    check_dataset(dataset)


def test_lists_of_classes(write: Write, tmp_path: Path) -> None:
    path = write(
        "a.jpg,1,2,30,40,cat\na.jpg,1,2,30,40,2\nb.jpg,1,2,30,40,dgo\nb.jpg,1,2,30,40,dgo\n", "train/_annotations.csv"
    )
    list_of_classes = write("dog,2\nbird,0\ncat,1\n", "train/_classes.csv")
    with pytest.warns(
        DataWarning, match=r"line 3: 'dgo' \(did you mean 'dog'\?\) .* in 2 rows: their 2 boxes are left"
    ):
        dataset = CSV(path)
    assert dataset.class_names == ("bird", "cat", "dog") and dataset.annotation(0).labels.tolist() == [1, 2]
    assert list(find_format(tmp_path).splits) == ["train"]
    with pytest.raises(DataError, match="strict"):
        CSV(path, strict=True)
    for text in ("dog,2\ncat,x\n", "dog,2\ndog,3\n", "dog,2\ncat,2\n", "a,b\n"):
        list_of_classes.write_text(text)
        with pytest.raises(DataError, match=r"_classes.csv: (line 2|expected classes)"):
            CSV(path)
    assert CSV(path, classes=write("0,cat\n1,dgo\n2,2\n", "own.txt")).class_names == ("cat", "dgo", "2")


def test_ignored_rows_columns_that_are_not_read_and_one_class(write: Write) -> None:
    path = write(
        "filename,xmin,ymin,xmax,ymax,label,difficult,colour\na.jpg,1,2,30,40,cat,1,red\na.jpg,1,2,9,9,cat,0,\n"
    )
    with pytest.warns(DataWarning, match=r"columns that are not read: colour"):
        dataset = CSV(path)
    assert dataset.annotation(0).ignore.tolist() == [True, False]
    path = write("filename,xmin,ymin,xmax,ymax\na.jpg,1,2,30,40\n")
    with pytest.raises(DataError, match=r"no column of classes .*; give one name as `class_names`"):
        CSV(path)
    assert CSV(path, class_names=["face"]).class_names == ("face",)
    with pytest.raises(DataError, match="convention"):
        CSV(path, convention=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "kind", "part"),
    [
        ("a.jpg,1,2,30,cat", "bad-row", "line 3: a.jpg,1,2,30,cat has 5 columns, expected 6"),
        ("a.jpg,1,2,30,40,cat,7", "bad-row", "line 3: a.jpg,1,2,30,40,cat,7 has 7 columns, expected 6"),
        ("a.jpg,1,2,x,40,cat", "bad-row", "line 3"),
        ("a.jpg,1,,30,40,cat", "bad-row", "line 3: a.jpg,1,,30,40,cat has no y1"),
        ("a.jpg,1,2,30,40,", "bad-row", "has no class"),
        ("a.jpg,,,,,cat", "bad-row", "has no x1, y1, x2, y2"),
        (",1,2,30,40,cat", "bad-row", "names no image"),
        ('"a.jpg,1,2,30,40,cat', "bad-row", "line 3"),
        ("a.jpg,1,2,nan,40,cat", "bad-box", "line 3 of a.jpg"),
        ("a.jpg,30,2,1,40,cat", "inverted-box", "line 3 of a.jpg"),
        ("a.jpg,90,2,99,40,cat", "outside-box", "60×80"),
        ("x.jpg,1,2,30,40,cat", "missing-image", "no such file"),
        ("a.jpg,1,2,30,40,caf\udce9", "bad-row", "no text in UTF-8"),
    ],
)
def test_wrong_rows_are_named_and_left_out(write: Write, row: str, kind: str, part: str) -> None:
    path = write(f"a.jpg,1,2,9,9,cat\nb.jpg,1,2,9,9,cat\n{row}\na.jpg,1,2,9,8,cat\n".encode("utf-8", "surrogateescape"))
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = CSV(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert [len(dataset.annotation(i)) for i in range(2)] == [2, 1]
    with pytest.raises(DataError, match="strict"):
        CSV(path, strict=True)


def test_sizes_that_are_wrong_are_read_from_the_images(write: Write) -> None:
    path = write(TENSORFLOW.replace("b.jpg,80,60", "b.jpg,0,60").replace("80,60,dog,1", "90,60,dog,1"))
    with pytest.warns(DataWarning, match="2 problems .2 size"):
        dataset = CSV(path)
    assert [(t.width, t.height) for t in map(dataset.annotation, range(3))] == [(80, 60)] * 3
    assert boxes_of(dataset) == EXPECTED


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("\n\n", "the file is empty"),
        ("filename,xmin,ymin,xmax,class\na.jpg,1,2,3,cat\n", "none or not all are known as those of boxes"),
        ("image,left,top,right,botom,width,height,class\na.jpg,1,2,3,9,80,60,cat\n", "none or not all are known"),
        ("xmin,ymin,xmax,ymax,class\n1,2,3,4,cat\n", "known as that of the images"),
        ("time,value\n1,2\n", "begins with 'time,value', expected path,x1,y1,x2,y2,class, or a header"),
        ("filename,file_size,region_shape_attributes\na.jpg,1,{}\n", "expected path,x1,y1,x2,y2,class"),
        ('"a.jpg,1,2,3,4,cat\n', "begins with 'a.jpg,1,2,3,4,cat'"),
    ],
)
def test_other_tables_are_refused_with_what_is_expected(write: Write, text: str, part: str) -> None:
    path = write(text)
    with pytest.raises(DataError, match=r"boxes\.csv") as error:
        CSV(path)
    assert part in str(error.value)
    if part != "the file is empty":  # else it may have been one
        with pytest.raises(DataError, match="CSV of boxes"):
            find_format(path, name="csv")


def test_a_column_of_splits_and_one_without_a_name(write: Write) -> None:
    header = ",image,xmin,ymin,xmax,ymax,class,Split\n"
    path = write(header + "0,a.jpg,1,2,30,40,cat,train\n1,b.jpg,1,2,30,40,dog,valid\n2,c.jpg,1,2,30,40,cat,train\n")
    source = find_format(path)
    assert {name: arguments["split"] for name, arguments in source.splits.items()} == {"train": "train", "val": "valid"}
    train = source.open("train")
    assert len(train) == 2 and [problem.message for problem in train.problems] == [
        "columns that are not read: number 1"
    ]
    assert source.open("val").class_names == ("dog",)
    with pytest.warns(DataWarning, match="the rows of all splits"):
        assert len(CSV(path)) == 3
    with pytest.raises(DataError, match=r"no row of the split 'test'; the values there are 'train', 'valid'"):
        CSV(path, split="test")
    with pytest.raises(DataError, match="it has no column of splits"):
        CSV(write(RETINANET, "other.csv"), split="train")


def test_a_text_file_and_two_spellings_of_one_image(write: Write) -> None:
    path = write(RETINANET.replace(",", ";") + ".\\a.jpg;1;2;30;40;cat\n", "gt.txt")
    write("cat;dog\n", "names.txt", images=())
    source = find_format(path.parent)
    assert source.format.name == "csv" and source.splits == {"train": {"annotations": path}}
    assert [len(source.open("train").annotation(i)) for i in range(3)] == [3, 0, 1]


def test_files_of_splits(write: Write, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write(RETINANET, f"roboflow/{split}/_annotations.csv")
        write("cat,0\ndog,1\n", f"roboflow/{split}/_classes.csv")
    source = find_format(tmp_path / "roboflow")
    assert source.format.name == "csv" and list(source.splits) == ["train", "val"]
    assert len(source.open("val")) == 3
    for split in ("train", "test"):
        write(TENSORFLOW, f"tf/data/{split}_labels.csv", images=())
    write(TENSORFLOW, "tf/images/x.csv")
    (tmp_path / "tf/images/x.csv").unlink()
    source = find_format(tmp_path / "tf")
    assert list(source.splits) == ["train", "test"]
    assert boxes_of(source.open("test")) == EXPECTED
    assert list(find_format(tmp_path / "tf/data/test_labels.csv").splits) == ["test"]
