"""Names of images that are no paths here: found by their ends, or said."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from centernet.annotations.problems import DataError, Reports
from centernet.data.formats.layout import Folder, ImageList, find_image_folder


def images(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12)).save(root / name)
    return root


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ("..\\..\\label-studio\\media\\upload\\4\\a.jpg", "a.jpg"),
        ("C:\\work\\photos\\A.JPG", "a.jpg"),
        ("/home/somebody/photos/day 1/b.jpg", "day 1/b.jpg"),
        ("https://host.example/store/day%201/b.jpg?size=2#x", "day 1/b.jpg"),
        ("/data/local-files/?d=store/day%201/b.jpg", "day 1/b.jpg"),
        ("images/b.jpg", "day 1/b.jpg"),
        ("c.jpg", "deep/er/c.jpg"),
        ("day 2/d.jpg", "deep/day 2/d.jpg"),
    ],
)
def test_a_name_stands_for_the_one_image_that_ends_like_it(tmp_path: Path, stated: str, found: str) -> None:
    images(tmp_path, "a.jpg", "day 1/b.jpg", "deep/er/c.jpg", "day 3/d.jpg", "deep/day 2/d.jpg")
    listed = ImageList(tmp_path, report := Reports())
    assert listed.find(stated) == found and listed.find(stated) == found
    listed.add(found)
    listed.findings()
    (problem,) = report.found
    assert problem.kind == "image-name" and found in problem.message and problem.message.startswith("1 name")


def test_names_that_lead_out_are_counted_once(tmp_path: Path) -> None:
    listed = ImageList(images(tmp_path, "a.jpg", "b.jpg"), report := Reports())
    assert [listed.find(name) for name in ("../x/a.jpg", "/b.jpg")] == ["a.jpg", "b.jpg"]
    listed.findings()
    assert "2 names" in report.found[0].message and "2 of them lead out" in report.found[0].message
    with pytest.raises(DataError, match="strict"):
        listed.report.strict = True
        listed.findings()


@pytest.mark.parametrize("first", ["exact", "near"])
def test_one_file_is_not_two_images(tmp_path: Path, first: str) -> None:
    listed = ImageList(images(tmp_path, "a.jpg"), report := Reports())
    names = ["a.jpg", "../other/a.jpg"] if first == "exact" else ["../other/a.jpg", "a.jpg"]
    for name in names:
        if (found := listed.find(name)) is not None:
            listed.add(found)
    kinds = {problem.kind for problem in report.found}
    assert kinds == ({"missing-image"} if first == "exact" else {"duplicate"})


def test_a_name_that_fits_two_images_is_a_problem(tmp_path: Path) -> None:
    listed = ImageList(images(tmp_path, "one/a.jpg", "two/a.jpg"), report := Reports())
    assert listed.find("three/a.jpg") is None
    assert "2 files end like the name: one/a.jpg, two/a.jpg" in report.found[0].message
    assert listed.find("../there/two/a.jpg") == "two/a.jpg"


@pytest.mark.parametrize("name", ["x\0/a.jpg", "", "..", "/", "a.jpg/", "a.jpeg"])
def test_what_is_no_name_of_a_file_is_missing(tmp_path: Path, name: str) -> None:
    listed = ImageList(images(tmp_path, "a.jpg"), report := Reports())
    if name != "a.jpg/":
        assert listed.find(name) is None and report.found[0].kind == "missing-image"


def test_a_folder_that_holds_itself_is_searched_once(tmp_path: Path) -> None:
    images(tmp_path, "in/a.jpg")
    (tmp_path / "in" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert Folder(tmp_path).find_near("x/a.jpg") == ["in/a.jpg"]


@pytest.mark.parametrize(
    ("file", "folder", "name"),
    [
        ("annotations/train.json", "images", "images/a.jpg"),
        ("train.json", "photos/of/2024", "a.jpg"),
        ("train.json", "images", "..\\..\\upload\\4\\a.jpg"),
        ("labels/train.json", "somewhere", "deep/a.jpg"),
        ("annotations/instances_val.json", "val", "a.jpg"),
    ],
)
def test_the_folder_of_the_images_is_found(tmp_path: Path, file: str, folder: str, name: str) -> None:
    images(tmp_path, f"{folder}/{name.replace(chr(92), '/').rpartition('/')[2]}")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    root = find_image_folder(tmp_path / file, None, [name])
    assert ImageList(root, Reports()).find(name) is not None


def test_the_images_of_another_data_set_are_not_taken(tmp_path: Path) -> None:
    """They may have the same names; beside the folder of a file is only looked where that is one of annotations."""
    images(tmp_path, "other/a.jpg")
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match=r"are in none of .*--images"):
        find_image_folder(tmp_path / "mine/train.json", None, ["gone/a.jpg"])


def test_two_folders_with_the_same_names_are_told_apart_or_named(tmp_path: Path) -> None:
    images(tmp_path, "photos/train/1.jpg", "photos/val/1.jpg")
    assert find_image_folder(tmp_path / "val.json", None, ["1.jpg"]) == tmp_path / "photos/val"
    with pytest.raises(DataError, match=r"'1.jpg', are in .*photos/train and in .*photos/val; .*--images"):
        find_image_folder(tmp_path / "all.json", None, ["1.jpg"])


def test_the_folder_with_most_images_is_taken(tmp_path: Path) -> None:
    images(tmp_path, "images/a.jpg", "a.jpg", "b.jpg")
    assert find_image_folder(tmp_path / "train.json", None, ["a.jpg", "b.jpg"]) == tmp_path
