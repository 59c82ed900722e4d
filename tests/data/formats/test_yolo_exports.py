"""The folders and lists in which tools export YOLO's rows: read wherever they are, or refused with the next step."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from centernet.cli.main import main
from centernet.data import YOLO, DataError, DataWarning
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset

BOXES = {
    "a": [[30, 15, 50, 45]],
    "b": [[20, 15, 60, 45], [0, 0, 40, 30]],
    "c": [[8, 6, 24, 18]],
    "d": [[40, 30, 80, 60]],
}
ROWS = {
    "a": "1 0.5 0.5 0.25 0.5\n",
    "b": "0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.5 0.5\n",
    "c": "1 0.2 0.2 0.2 0.2\n",
    "d": "0 0.75 0.75 0.5 0.5\n",
}
NAMES = "cat\ndog\n"


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = (ord(path.stem[-1]) - ord("a")) * 60
    Image.new("RGB", (80, 60), (shade, 90, 255 - shade)).save(path)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def pairs(root: Path, images: str, labels: str, stems: Sequence[str] = "abcd") -> None:
    for stem in stems:
        image(root / images / f"{stem}.jpg")
        put(root / labels / f"{stem}.txt", ROWS[stem])


def check(path: Path, expected: dict[str, str], **options: Path | None) -> None:
    """Each split has the boxes of these images, and nothing else was found."""
    source = find_format(path, **options)  # type: ignore[arg-type]
    assert source.format.name == "yolo"
    opened = {split: source.open(split) for split in source.splits}
    assert {name: "".join(sorted(d.path(i).stem for i in range(len(d)))) for name, d in opened.items()} == expected
    for dataset in opened.values():
        assert dataset.class_names == ("cat", "dog") and not [p for p in dataset.problems if p.kind != "not-used"]
        for index in range(len(dataset)):
            found = dataset.annotation(index)
            assert [[round(float(v)) for v in box] for box in found.boxes] == BOXES[dataset.path(index).stem]
        check_dataset(dataset)
    assert source.unread(list(opened.values())).annotations == []


# Bare lists of names --------------------------------------------------------------------------------------------------


def label_studio(root: Path) -> None:
    pairs(root, "images", "labels")
    put(root / "classes.txt", NAMES)
    put(root / "notes.json", '{"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}], "info": {}}')


def label_img(root: Path) -> None:
    pairs(root, ".", ".")
    put(root / "classes.txt", NAMES)


def label_img_apart(root: Path) -> None:
    pairs(root, "images", "labels")
    put(root / "labels/classes.txt", "cat\r\ndog\r\n\r\n")


def names_beside_images(root: Path) -> None:
    pairs(root, ".", "labels")
    put(root / "obj.names", NAMES)


@pytest.mark.parametrize("make", [label_studio, label_img, label_img_apart, names_beside_images])
@pytest.mark.parametrize("around", ["", "export/project-1"])
def test_images_beside_a_list_of_names(tmp_path: Path, make: Callable[[Path], None], around: str) -> None:
    make(tmp_path / "data" / around)
    check(tmp_path / "data", {"train": "abcd"})
    assert len(YOLO(tmp_path / "data" / around)) == 4
    names = next(p for p in sorted((tmp_path / "data").rglob("*")) if p.name in ("classes.txt", "obj.names"))
    check(names, {"train": "abcd"})
    assert main(["check", str(tmp_path / "data"), "--workers", "1"]) == 0


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("images/train", "images/val"),
        ("train/images", "valid/images"),
        ("train", "test"),
        ("images/train", "images/test"),
    ],
)
def test_splits_beside_a_list_of_names(tmp_path: Path, train: str, val: str) -> None:
    for place, stems in ((train, "abc"), (val, "d")):
        pairs(tmp_path, place, place.replace("images", "labels"), stems)
    put(tmp_path / "classes.txt", NAMES)
    check(tmp_path, {"train": "abc", "test" if "test" in val else "val": "d"})


def test_a_list_of_names_in_each_split(tmp_path: Path) -> None:
    for split, stems in (("train", "ab"), ("valid", "c"), ("test", "d")):
        pairs(tmp_path, split, split, stems)
        put(tmp_path / split / "_darknet.labels", NAMES)
    check(tmp_path, {"train": "ab", "val": "c", "test": "d"})


def test_lists_of_images_beside_a_list_of_names(tmp_path: Path) -> None:
    pairs(tmp_path, "obj", "obj")
    put(tmp_path / "obj.names", NAMES)
    put(tmp_path / "train.txt", "".join(f"build/darknet/x64/data/obj/{stem}.jpg\n" for stem in "abc"))
    put(tmp_path / "test.txt", "data/obj/d.jpg\n")
    check(tmp_path, {"train": "abc", "test": "d"})


@pytest.mark.parametrize(
    ("names", "part"),
    [("cat\n", "the class 1 is none of 0 .. 0"), ("cat\n\ndog\n", "line 2 is empty"), ("cat\ncat\n", "more than once"),
     ("", "empty, expected the names")],
)  # fmt: skip
def test_names_that_are_not_those_of_the_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str, part: str
) -> None:
    label_studio(tmp_path)
    put(tmp_path / "classes.txt", names)
    assert main(["check", str(tmp_path), "--workers", "1"]) == 1
    output = capsys.readouterr()
    assert part in output.out + output.err


@pytest.mark.parametrize("names", ["dog\ncat\n", "cat\ndog\nbird\n"])
def test_notes_that_say_other_classes(tmp_path: Path, names: str) -> None:
    label_studio(tmp_path)
    put(tmp_path / "classes.txt", names)
    with pytest.warns(DataWarning, match="its categories are cat, dog, those of classes.txt"):
        YOLO(tmp_path)


@pytest.mark.parametrize("place", ["labels", "images", "."])
def test_rows_without_names_are_an_error(tmp_path: Path, place: str) -> None:
    pairs(tmp_path, "images" if place != "." else ".", place)
    with pytest.raises(DataError, match=r"rows as YOLO's, but no file names their classes: data.yaml, obj.data, or cl"):
        find_format(tmp_path)


# Darknet --------------------------------------------------------------------------------------------------------------


def cvat(root: Path, prefix: str = "data/") -> None:
    pairs(root, "obj_train_data", "obj_train_data", "abc")
    pairs(root, "obj_valid_data", "obj_valid_data", "d")
    put(root / "obj.names", NAMES)
    text = f"classes = 2\ntrain = {prefix}train.txt\nvalid = {prefix}valid.txt\nnames = {prefix}obj.names\n"
    put(root / "obj.data", f"{text}backup = backup/\n")
    put(root / "train.txt", "".join(f"{prefix}obj_train_data/{stem}.jpg\n" for stem in "abc"))
    put(root / "valid.txt", f"{prefix}obj_valid_data/d.jpg\n")


@pytest.mark.parametrize("prefix", ["data/", "", "/mapai/project/data/", "C:\\work\\data\\", "./"])
def test_the_lists_of_darknet(tmp_path: Path, prefix: str) -> None:
    cvat(tmp_path / "data", prefix)
    check(tmp_path / "data", {"train": "abc", "val": "d"})
    check(tmp_path / "data/obj.data", {"train": "abc", "val": "d"})
    assert main(["check", str(tmp_path / "data"), "--workers", "1"]) == 0


def test_lists_of_absolute_paths_elsewhere(tmp_path: Path) -> None:
    pairs(tmp_path / "store/VOC2007", "JPEGImages", "labels", "abc")
    pairs(tmp_path / "store/more", "images/val", "labels/val", "d")
    lists = tmp_path / "darknet/lists"
    put(lists / "2007_train.txt", "".join(f"{tmp_path}/store/VOC2007/JPEGImages/{stem}.jpg\n" for stem in "abc"))
    put(lists / "test.txt", f"{tmp_path}/store/more/images/val/d.jpg\n")
    put(tmp_path / "darknet/data/voc.names", NAMES)
    text = f"classes= 2\ntrain  = {lists}/2007_train.txt\nvalid  = lists/test.txt\nnames = data/voc.names\n"
    check(put(tmp_path / "darknet/cfg/voc.data", text), {"train": "abc", "val": "d"})


@pytest.mark.parametrize("stems", ["abcd", "d"])
def test_exports_without_images(tmp_path: Path, stems: str) -> None:
    """Whose folder is asked for, and named."""
    cvat(tmp_path / "cvat")
    label_studio(tmp_path / "studio")
    for name in ("cvat", "studio"):
        for path in sorted((tmp_path / name).rglob("*.jpg")):
            path.unlink()
        with pytest.raises(DataError, match=r"give the folder .* as `images` \(--images\)"):
            find_format(tmp_path / name).open("train")
    for stem in "abcd":
        image(tmp_path / "photos" / ("sub" if stem in stems else ".") / f"{stem}.jpg")
    check(tmp_path / "studio", {"train": "abcd"}, images=tmp_path / "photos")
    source = find_format(tmp_path / "cvat", images=tmp_path / "photos")
    train = source.open("train")
    assert sum(len(train.annotation(index)) for index in range(len(train))) == 4 and len(source.open("val")) == 1


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"obj.data": "classes = 3\ntrain = train.txt\nnames = obj.names"}, "classes is '3', but .* lists 2"),
        ({"obj.data": "classes = 2\ntrain = train.txt\nnames = none.names"}, "names is 'none.names', and no such file"),
        ({"obj.data": "classes = 2\ntrain = train.txt\n", "obj.names": ""}, "expected names = FILE"),
        ({"train.txt": "data/x.jpg\ndata/y.jpg"}, r"none of the 2 images listed in .*train.txt.*\(--images\)"),
    ],
)
def test_files_of_darknet_that_are_wrong(tmp_path: Path, change: dict[str, str], part: str) -> None:
    cvat(tmp_path)
    for name, text in change.items():
        put(tmp_path / name, text)
    with pytest.raises(DataError, match=part):
        YOLO(tmp_path / "obj.data")


# data.yaml ------------------------------------------------------------------------------------------------------------


def data(root: Path) -> None:
    pairs(root, "images/train", "labels/train", "abc")
    pairs(root, "images/val", "labels/val", "d")


@pytest.mark.parametrize(
    ("yaml", "path"),
    [
        ("project/mine.yaml", "{root}/datasets/mine"),
        ("project/mine.yaml", "../datasets/mine"),
        ("project/mine.yaml", "datasets/mine"),  # relative to the current folder
        ("project/cfg/mine.yaml", "mine"),  # in the folder of data sets
        ("datasets/mine/mine.yaml", "mine"),  # the project's name
        ("datasets/mine/data.yaml", "."),
        ("datasets/mine/data.yaml", "/content/drive/mine"),
        ("datasets/mine.yaml", "mine"),
    ],
)
def test_the_folder_that_path_may_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yaml: str, path: str) -> None:
    data(tmp_path / "datasets/mine")
    text = f"path: {path.format(root=tmp_path)}\ntrain: images/train\nval: images/val\nnames: {{0: cat, 1: dog}}\n"
    file = put(tmp_path / yaml, text)
    monkeypatch.chdir(tmp_path)
    check(file, {"train": "abc", "val": "d"})


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("{root}/datasets/mine/images/train", "{root}/datasets/mine/images/val"),
        ("../datasets/mine/images/train", "../datasets/mine/images/val"),
        ("datasets/mine/images/train", "./datasets/mine/images/val"),  # relative to the current folder
        ("[{root}/datasets/mine/images/train]", "- {root}/datasets/mine/images/val"),
        ("{root}/lists/train.txt", "../lists/val.txt"),
    ],
)
def test_entries_without_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: str, val: str) -> None:
    data(tmp_path / "datasets/mine")
    for split, stems in (("train", "abc"), ("val", "d")):
        lines = [f"{tmp_path}/datasets/mine/images/{split}/{stem}.jpg\n" for stem in stems]
        put(tmp_path / "lists" / f"{split}.txt", "".join(lines))
    entries = {"train": train.format(root=tmp_path), "val": val.format(root=tmp_path)}
    text = "".join(f"{key}: {value}\n" if value[0] != "-" else f"{key}:\n  {value}\n" for key, value in entries.items())
    monkeypatch.chdir(tmp_path)
    check(put(tmp_path / "project/mine.yaml", f"{text}nc: 2\nnames: [cat, dog]\n"), {"train": "abc", "val": "d"})


@pytest.mark.parametrize("lines", ["./images/train/{}.jpg", "images/train/{}.jpg", "data/images/train/{}.jpg",
                                   "C:\\data\\images\\train\\{}.jpg", "/old/place/images/train/{}.jpg"])  # fmt: skip
def test_lists_beside_a_data_yaml(tmp_path: Path, lines: str) -> None:
    data(tmp_path)
    put(tmp_path / "train.txt", "".join(f"{lines.format(stem)}\n" for stem in "abc"))
    put(tmp_path / "data.yaml", "path: .\ntrain: train.txt\nval: images/val\nnames:\n  0: cat\n  1: dog\n")
    check(tmp_path, {"train": "abc", "val": "d"})


@pytest.mark.parametrize("prefix", ["project-name/", "../", "../project-name/", "/content/project-name/", "D:\\x\\"])
@pytest.mark.parametrize("test", ["", "test: ../test/images\n"])
def test_prefixes_of_exports(tmp_path: Path, prefix: str, test: str) -> None:
    root = tmp_path / "project-name"
    pairs(root, "train/images", "train/labels", "abc")
    pairs(root, "valid/images", "valid/labels", "d")
    put(
        root / "data.yaml",
        f"{test}train: {prefix}train/images\nval: {prefix}valid/images\nnc: 2\nnames: ['cat', 'dog']\n",
    )
    check(root, {"train": "abc", "val": "d"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notes = [problem.message for problem in YOLO(root, strict=True).problems]
    assert notes == (["test is '../test/images', and nothing is there: no test data"] if test else [])
    assert len(caught) == len(notes)


def test_two_splits_are_never_one_folder_by_accident(tmp_path: Path) -> None:
    data(tmp_path)
    put(tmp_path / "data.yaml", "train: a/images/val\nval: b/images/val\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=r"'a/images/val' is not in .* there holds 'b/images/val' of val.*--root"):
        YOLO(tmp_path)
    put(tmp_path / "data.yaml", "train: images/train\nval: nowhere/train/images\nnames: [cat, dog]\n")
    assert len(YOLO(tmp_path)) == 3
    with pytest.raises(DataError, match="'nowhere/train/images' is not in"):
        YOLO(tmp_path, "val")


@pytest.mark.parametrize("entry", ["/etc", "images/../../x", "../../../etc/images"])
def test_nothing_is_read_outside(tmp_path: Path, entry: str) -> None:
    data(tmp_path / "data")
    put(tmp_path / "data/data.yaml", f"train: {entry}\nval: images/val\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=r"\(--root\)"):
        YOLO(tmp_path / "data")


@pytest.mark.parametrize("names", ["", "nc: 2\n", "nc: 2\nnames:\n"])
def test_a_count_alone_is_no_list_of_names(tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str) -> None:
    data(tmp_path)
    put(tmp_path / "data.yaml", f"train: images/train\nval: images/val\n{names}")
    assert main(["check", str(tmp_path), "--workers", "1"]) == 1
    assert ("add the line names: [first, second" if names == "nc: 2\n" else "names") in capsys.readouterr().err
    if names:
        assert main(["check", str(tmp_path / "data.yaml"), "--workers", "1"]) == 1
        assert "names" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="links")
@pytest.mark.parametrize("depth", [1, 2])
def test_linked_folders_are_read_with_their_labels(tmp_path: Path, depth: int) -> None:
    pairs(tmp_path / "data", "images/train", "labels/train", "ab")
    pairs(tmp_path / "store", "pics/deep", "txt/deep", "cd")
    put(tmp_path / "store/txt/deep/x.txt", "0 .5 .5 .5 .5\n")
    inner = "" if depth == 1 else "more/"
    for kind, target in (("images", "pics"), ("labels", "txt")):
        (tmp_path / "data" / kind / "train" / inner).mkdir(exist_ok=True)
        (tmp_path / "data" / kind / "train" / inner / "batch2").symlink_to(tmp_path / "store" / target)
    (tmp_path / "store/pics/up").symlink_to(tmp_path / "data/images")  # a cycle
    put(tmp_path / "data/data.yaml", "train: images/train\nnames: [cat, dog]\n")
    with pytest.warns(DataWarning, match="x.txt: a label file without an image"):
        dataset = YOLO(tmp_path / "data")
    assert sorted(dataset.path(index).stem for index in range(len(dataset))) == ["a", "b", "c", "d"]
    assert dataset.without_labels == 0
