"""WIDER FACE's text files, and what datumaro writes in their form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from centernet.data import DataError, DataWarning, WIDERFace
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset

Write = Callable[..., Path]
IMAGES = ("0--Parade/a.jpg", "0--Parade/b.jpg", "1--Handshaking/c.jpg")
TRAIN = """0--Parade/a.jpg
2
10 5 30 20 2 0 0 0 1 0\x20
1 2 8 9 2 0 0 1 2 1\x20
0--Parade/b.jpg
0
0 0 0 0 0 0 0 0 0 0\x20
1--Handshaking/c.jpg
1
-5 40 30 40 0 0 1 0 0 0
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str, split: str = "train", images: tuple[str, ...] = IMAGES) -> Path:
        """The file in its folder, and gray 80×60 images in theirs."""
        (tmp_path / "wider_face_split").mkdir(exist_ok=True)
        path = tmp_path / f"wider_face_split/wider_face_{split}_bbx_gt.txt"
        path.write_text(text)
        for name in images:
            image = tmp_path / f"WIDER_{split}/images" / name
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 60), "gray").save(image)
        return path

    return make


def test_faces_invalid_ones_and_images_without(write: Write, tmp_path: Path) -> None:
    path = write(TRAIN)
    write("0--Parade/a.jpg\n1\n1 2 30 40 0 0 0 0 0 0\n", "val")
    (tmp_path / "wider_face_split/wider_face_test_filelist.txt").write_text("0--Parade/x.jpg\n")
    dataset = WIDERFace(path)
    assert dataset.class_names == ("face",) and dataset.problems == []
    assert dataset.annotation(0).boxes.tolist() == [[10, 5, 40, 25], [1, 2, 9, 11]]
    assert dataset.annotation(0).ignore.tolist() == [False, True]
    assert len(dataset.annotation(1)) == 0 and dataset.annotation(2).boxes.tolist() == [[0, 40, 25, 60]]
    check_dataset(dataset)
    source = find_format(tmp_path)
    assert source.format.name == "wider-face" and list(source.splits) == ["train", "val"]
    assert len(source.open("val")) == 1
    assert list(find_format(path).splits) == ["train"]


def test_images_elsewhere(write: Write, tmp_path: Path) -> None:
    path = write(TRAIN)
    (tmp_path / "WIDER_train/images").rename(tmp_path / "moved")
    assert len(WIDERFace(path, tmp_path / "moved")) == 3
    (tmp_path / "moved").rename(tmp_path / "images")
    assert len(WIDERFace(path)) == 3
    with pytest.raises(DataError, match="no such folder; `images`"):
        WIDERFace(path, tmp_path / "none")


def test_folders_within_folders(write: Write, tmp_path: Path) -> None:
    path = write(TRAIN)
    (tmp_path / "annotations").mkdir()
    path.parent.rename(tmp_path / "annotations/wider_face_split")
    (tmp_path / "WIDER_train").rename(tmp_path / "inner")
    (tmp_path / "WIDER_train").mkdir()
    (tmp_path / "inner").rename(tmp_path / "WIDER_train/WIDER_train")
    source = find_format(tmp_path)
    assert source.format.name == "wider-face" and len(source.open("train")) == 3


def test_what_datumaro_writes(write: Write) -> None:
    """No number without boxes, no or other attributes, a column for the class."""
    text = (
        "no_label/a.jpg\n4\n1 2 30 40 \n1 2 20 40 dog\n5 5 9 9 - - - True - - \n6 6 9 9 - - - - - True black cat\n"
        "no_label/b.jpg\nno_label/c.jpg\n1\n1.5 2 30 40 \n"
    )
    path = write(text, images=("no_label/a.jpg", "no_label/b.jpg", "no_label/c.jpg"))
    dataset = WIDERFace(path)
    assert dataset.class_names == ("black cat", "dog", "face") and dataset.problems == []
    first = dataset.annotation(0)
    assert first.labels.tolist() == [2, 1, 2, 0] and first.ignore.tolist() == [False, False, False, True]
    assert [len(dataset.annotation(i)) for i in range(3)] == [4, 0, 1]
    check_dataset(dataset)
    (path.parent.parent / "labels.txt").write_text("face\ndog\nblack cat")
    assert WIDERFace(path).class_names == ("face", "dog", "black cat")


@pytest.mark.parametrize(
    ("new", "kind", "part"),
    [
        ("1 2 8 9 2 0 0 1 2", "bad-row", "line 4: 1 2 8 9 2 0 0 1 2 has 9 columns, expected left, top"),
        ("1 2 8 9 2 0 0 1 2 1 0", "bad-row", "has 11 columns, expected 10"),
        ("1 2 8", "bad-row", "line 4: 1 2 8 has 3 columns"),
        ("1 2 x 9 2 0 0 1 2 1", "bad-row", "line 4"),
        ("1 2 8 9 2 0 0 7 2 1", "bad-row", "line 4: 1 2 8 9 2 0 0 7 2 1 says '7' of being invalid, expected 0 or 1"),
        ("1 2 0 9 2 0 0 1 2 1", "empty-box", "line 4 of 0--Parade/a.jpg"),
        ("1 2 nan 9 2 0 0 1 2 1", "bad-box", "line 4 of 0--Parade/a.jpg"),
        ("90 2 9 9 2 0 0 1 2 1", "outside-box", "60×80"),
    ],
)
def test_wrong_rows_are_named_and_left_out(write: Write, new: str, kind: str, part: str) -> None:
    path = write(TRAIN.replace("1 2 8 9 2 0 0 1 2 1", new))
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = WIDERFace(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert [len(dataset.annotation(i)) for i in range(3)] == [1, 0, 1]
    check_dataset(dataset)
    with pytest.raises(DataError, match="strict"):
        WIDERFace(path, strict=True)


@pytest.mark.parametrize(
    ("old", "new", "kind", "part"),
    [
        ("jpg\n2\n", "jpg\n3\n", "bad-row", "a.jpg (line 2) has 3 as the number of its faces, but 2 rows"),
        ("jpg\n2\n", "jpg\n", "bad-row", "a.jpg (line 1) has no number of its faces, but 2 rows"),
        ("jpg\n1\n", "jpg\n0\n", "bad-row", "c.jpg (line 9) has 0 as the number of its faces, but 1 rows"),
        ("b.jpg", "x.jpg", "missing-image", "no such file"),
        ("b.jpg", "a.jpg", "duplicate", "line 5 names 0--Parade/a.jpg again"),
    ],
)
def test_wrong_lines_are_named(write: Write, old: str, new: str, kind: str, part: str) -> None:
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = WIDERFace(write(TRAIN.replace(old, new)))
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert sum(len(dataset.annotation(i)) for i in range(len(dataset))) == 3


def test_other_files_are_refused(write: Write, tmp_path: Path) -> None:
    path = write("1 2 3 4\n")
    with pytest.raises(DataError, match="no name of an image in it"):
        WIDERFace(path)
    with pytest.raises(DataError, match=r"line 1 is '1 2 3 4', expected the name of an image"):
        find_format(tmp_path)
    with pytest.raises(DataError, match="cannot be opened"):
        WIDERFace(tmp_path / "none.txt")
