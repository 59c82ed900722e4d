"""Pascal VOC folders: counts against the sets' own tables and a search of the raw files, and every defect named."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from centernet.data import COCO, VOC, DataError, DataWarning
from centernet.data.detect_format import find_format
from centernet.images import ImageError
from centernet.testing import check_dataset

Folder = Callable[..., Path]


def objects(*entries: tuple[object, ...], size: tuple[object, object] | None = (60, 80)) -> str:
    """An XML file with (name, xmin, ymin, xmax, ymax[, difficult]) entries."""
    parts = [] if size is None else [f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"]
    for name, x1, y1, x2, y2, *rest in entries:
        box = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        difficult = rest[0] if rest else 0
        parts.append(f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>")
    return f"<annotation>{''.join(parts)}</annotation>"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(**xml: str) -> Path:
        """A VOC folder of 80×60 pictures; an empty text makes no XML file."""
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        for stem, text in xml.items():
            Image.new("RGB", (80, 60), "gray").save(tmp_path / "JPEGImages" / f"{stem}.jpg")
            if text:
                (tmp_path / "Annotations" / f"{stem}.xml").write_text(text)
        (tmp_path / "ImageSets/Main/train.txt").write_text("\n".join(xml) + "\n")
        return tmp_path

    return make


def voc2007_table(shared: Path) -> dict[str, list[int]]:
    """The table of the set's README: train pictures, objects, difficult; val pictures, objects, difficult."""
    rows = re.findall(
        r"^\| (\w+) \| (\d+) \| (\d+) \((\d+)\) \| (\d+) \| (\d+) \((\d+)\) \|$",
        (shared / "data/voc2007/README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {name: [int(number) for number in numbers] for name, *numbers in rows}


@pytest.mark.parametrize("split", ["train", "val"])
def test_counts_of_voc2007_are_those_of_its_table(shared: Path, split: str) -> None:
    table = voc2007_table(shared)
    root = shared / "data/voc2007"
    voc, coco = VOC(root, split), COCO(root / f"{split}.json")
    assert voc.class_names == coco.class_names == tuple(name for name in table if name != "all")
    columns = slice(0, 3) if split == "train" else slice(3, 6)
    for dataset in (voc, coco):
        assert len(dataset) == table["all"][columns][0]
        assert dataset.problems == []
        trained, ignored, pictures = dataset.label_arrays()
        for label, name in enumerate(dataset.class_names):
            assert [pictures[label], trained[label] + ignored[label], ignored[label]] == table[name][columns]


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_of_voc2007_in_both_formats_are_equal(shared: Path, split: str) -> None:
    root = shared / "data/voc2007"
    voc, coco = VOC(root, split), COCO(root / f"{split}.json")
    for index in range(len(voc)):
        a, b = voc.annotation(index), coco.annotation(index)
        assert (a.image_id, a.path.name, a.height, a.width) == (b.image_id, b.path.name, b.height, b.width)
        # The XML has one decimal, the JSON two.
        np.testing.assert_allclose(a.boxes, b.boxes, atol=0.0501)
        assert np.array_equal(a.labels, b.labels) and np.array_equal(a.ignore, b.ignore)


@pytest.mark.parametrize(("name", "splits"), [("bccd", ["train", "val", "test"]), ("helmet", ["train", "val"])])
def test_counts_are_those_of_a_search_of_the_raw_files(shared: Path, name: str, splits: list[str]) -> None:
    root = shared / "data" / name
    for split in splits:
        stems = (root / f"ImageSets/Main/{split}.txt").read_text().split()
        raw: Counter[str] = Counter()
        for stem in stems:
            raw.update(re.findall(r"<name>\s*(\w+)\s*</name>", (root / f"Annotations/{stem}.xml").read_text()))
        if name == "bccd" and split != "test":  # each has one box without area, which its README names
            with pytest.warns(DataWarning, match="1 problem"):
                dataset = VOC(root, split)
            raw["RBC"] -= 1
            (problem,) = dataset.problems
            assert problem.kind == "empty-box"
            assert Path(problem.path).stem == {"train": "BloodImage_00343", "val": "BloodImage_00338"}[split]
        else:
            dataset = VOC(root, split)
            assert dataset.problems == []
        assert len(dataset) == len(stems)
        trained, ignored, _ = dataset.label_arrays()
        assert dict(zip(dataset.class_names, (trained + ignored).tolist(), strict=True)) == dict(raw)


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
@pytest.mark.parametrize("name", ["voc2007", "bccd", "helmet", "fixtures/messy_voc"])
def test_contract(shared: Path, name: str) -> None:
    check_dataset(VOC(shared / "data" / name))


def test_pixels_are_counted_from_one_and_the_last_is_inside(folder: Folder) -> None:
    root = folder(a=objects(("cat", 1, 1, 80, 60), ("cat", 11, 21.5, 30.25, 40)))
    annotation = VOC(root).annotation(0)
    assert annotation.boxes.tolist() == [[0, 0, 80, 60], [10, 20.5, 30.25, 40]]
    assert annotation.areas.tolist() == [4800, 20.25 * 19.5]


def test_boxes_over_the_edge_are_cut_there(folder: Folder) -> None:
    dataset = VOC(folder(a=objects(("cat", -4, 50, 20, 70))))
    assert dataset.annotation(0).boxes.tolist() == [[0, 49, 20, 60]]
    assert dataset.clipped == 1 and dataset.problems == []


def test_every_defect_of_the_messy_folder_is_named_and_nothing_else(shared: Path) -> None:
    root = shared / "data/fixtures/messy_voc"
    with pytest.warns(DataWarning, match="7 problems"):
        train = VOC(root, "train", class_names=["hat", "person"])
    for index in range(len(train)):
        try:
            _ = train[index].image
        except ImageError:
            assert train.path(index).stem == "truncated_jpeg"
    assert {(Path(problem.path).stem, problem.kind) for problem in train.problems} == {
        ("truncated_jpeg", "unreadable-image"),
        ("size_zero", "size"),
        ("inverted_box", "inverted-box"),
        ("box_outside", "outside-box"),
        ("Annotations", "left-out-class"),
        ("zero_area_box", "empty-box"),
        ("no_xml", "missing-annotation"),
        ("no_image", "missing-image"),
    }
    assert len(train.problems) == 8
    rows = {Path(problem.path).stem: problem.message for problem in train.problems}
    assert "object 1 " in rows["inverted_box"]
    assert "object 4 " in rows["box_outside"]
    assert "'dog' 1" in rows["Annotations"]
    assert "object 3 " in rows["zero_area_box"]

    kept = {train.path(index).stem: len(train.annotation(index)) for index in range(len(train))}
    assert kept == {  # the objects of the folder's README less the defective ones
        "clean_1": 4,
        "clean_upper": 2,
        "truncated_jpeg": 2,
        "size_zero": 2,
        "inverted_box": 2,
        "box_outside": 3,
        "unknown_class": 2,
        "zero_area_box": 2,
    }
    size_zero = next(train.annotation(i) for i in range(len(train)) if train.path(i).stem == "size_zero")
    assert (size_zero.height, size_zero.width) == (256, 256)
    assert next(path for path in map(train.path, range(len(train))) if path.stem == "clean_upper").suffix == ".JPG"

    val = VOC(root, "val", class_names=["hat", "person"])
    assert val.problems == [] and len(val) == 1 and len(val.annotation(0)) == 4


STEMS = ["size_zero", "inverted_box", "box_outside", "zero_area_box", "no_xml", "no_image"]


@pytest.mark.parametrize("stem", STEMS)
def test_each_defect_is_an_error_when_strict(shared: Path, tmp_path: Path, stem: str) -> None:
    root = tmp_path / "voc"
    shutil.copytree(shared / "data/fixtures/messy_voc", root)
    (root / "ImageSets/Main/one.txt").write_text(f"clean_1\n{stem}\n")
    with pytest.raises(DataError, match=f"{stem}.*strict"):
        VOC(root, "one", class_names=["hat", "person"], strict=True)


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        ("<annotation><object>", "unreadable-annotation", "XML"),
        ("", "missing-annotation", "no XML file"),
        (objects(("cat", "nan", 1, 20, 20)), "bad-box", "object 1"),
        (objects(("cat", 1, 1, 20, "wide")), "bad-box", "object 1"),
        (objects(("cat", 1, 1, 20, "1e999")), "bad-box", "object 1"),
        (objects(("cat", 1, 1, 20, "2_0")), "bad-box", "object 1"),
        ('<?xml version="1.0" encoding="utf-9"?><annotation/>', "unreadable-annotation", "utf-9"),
        ("<annotation><size><width>80</width><height>60</height></size><object><name>cat</name></object></annotation>",
         "bad-box", "object 1 (cat)"),
        (objects(("", 1, 1, 20, 20)), "unknown-class", "without a name"),
        (objects(("cat", 5, 5, 20, 20), size=None), "size", "60×80"),
        (objects(("cat", 5, 5, 20, 20), size=("x", 80)), "size", "60×80"),
        ('<!DOCTYPE a [<!ENTITY b "cat">]><annotation><object><name>&b;</name></object></annotation>',
         "unreadable-annotation", "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation/>', "unreadable-annotation", "document type"),
    ],
)  # fmt: skip
def test_other_defects_are_named(folder: Folder, text: str, kind: str, part: str) -> None:
    root = folder(good=objects(("cat", 1, 1, 20, 20)), bad=text)
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = VOC(root)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert Path(problem.path).stem == "bad"
    check_dataset(dataset)


def test_difficult_objects_are_ignored_or_kept(folder: Folder) -> None:
    root = folder(a=objects(("cat", 1, 1, 20, 20, 1), ("cat", 30, 1, 50, 20, 0)))
    assert VOC(root).annotation(0).ignore.tolist() == [True, False]
    assert VOC(root, difficult="keep").annotation(0).ignore.tolist() == [False, False]


def test_classes_may_get_other_names(folder: Folder) -> None:
    root = folder(a=objects(("Helmet", 1, 1, 20, 20), ("helmets", 30, 1, 50, 20), ("person", 1, 30, 20, 50)))
    dataset = VOC(root, class_names=["helmet", "person"], rename={"Helmet": "helmet", "helmets": "helmet"})
    assert dataset.annotation(0).labels.tolist() == [0, 0, 1] and dataset.problems == []
    assert VOC(root, rename={"Helmet": "helmet", "helmets": "helmet"}).class_names == ("helmet", "person")


def test_a_misspelt_flag_is_named(folder: Folder) -> None:
    root = folder(a=objects(("cat", 1, 1, 20, 20, 1)).replace("difficult", "dificult"))
    with pytest.warns(DataWarning, match=r"a.xml, object 1: unknown key 'dificult' \(did you mean 'difficult'\?\)"):
        assert VOC(root).problems[0].kind == "unknown-key"


def test_pictures_without_objects_stay(folder: Folder) -> None:
    dataset = VOC(folder(a=objects(("cat", 1, 1, 20, 20)), b=objects()))
    assert len(dataset) == 2 and len(dataset.annotation(1)) == 0
    check_dataset(dataset)


def test_classes_are_found_sorted_or_given(folder: Folder) -> None:
    root = folder(a=objects(("dog", 1, 1, 20, 20), ("cat", 1, 1, 20, 20), ("dog", 1, 1, 20, 20)))
    found = VOC(root)
    assert found.class_names == ("cat", "dog") and found.annotation(0).labels.tolist() == [1, 0, 1]
    given = VOC(root, class_names=["dog", "bird", "cat"])
    assert given.class_names == ("dog", "bird", "cat") and given.annotation(0).labels.tolist() == [0, 2, 0]
    other = found.with_class_names(["bird", "dog", "cat"])
    assert other.annotation(0).labels.tolist() == [1, 2, 1]
    assert found.annotation(0).labels.tolist() == [1, 0, 1]  # the first one keeps its own
    with pytest.warns(DataWarning), pytest.raises(DataError, match=r"did you mean 'dog'"):
        VOC(root, class_names=["dogs", "cat"]).with_class_names(["dog", "cat"])


def test_a_class_spelt_differently_gets_a_suggestion(folder: Folder) -> None:
    root = folder(a=objects(("Helmets", 1, 1, 20, 20), ("person", 1, 1, 20, 20)))
    with pytest.warns(DataWarning, match=r"'Helmets' \(did you mean 'helmet'\?\)"):
        VOC(root, class_names=["helmet", "person"])


def test_image_ids_are_the_numbers_in_the_names_or_places(folder: Folder, shared: Path) -> None:
    numbered = VOC(shared / "data/voc2007", "val")
    assert all(numbered.annotation(i).image_id == int(numbered.path(i).stem) for i in range(len(numbered)))
    named = VOC(folder(a=objects(("cat", 1, 1, 9, 9)), b=objects(("cat", 1, 1, 9, 9))))
    assert [named.annotation(i).image_id for i in range(2)] == [0, 1]


def test_lists_for_one_class_comments_and_repeated_lines(folder: Folder) -> None:
    one = objects(("cat", 1, 1, 9, 9))
    root = folder(a=one, b=one, c=one)
    (root / "ImageSets/Main/cat_train.txt").write_text("a  1\n\nb -1\r\na  1\n")
    with pytest.warns(DataWarning, match="line 4 names 'a' again"):
        dataset = VOC(root, "cat_train")
    assert [dataset.path(i).stem for i in range(len(dataset))] == ["a", "b"]


def test_all_files_without_a_list(folder: Folder) -> None:
    root = folder(b=objects(("cat", 1, 1, 9, 9)), a=objects(("cat", 1, 1, 9, 9)), alone="")
    with pytest.warns(DataWarning, match=r"alone.xml: no XML file for its image"):
        dataset = VOC(root, None)
    assert [dataset.path(i).stem for i in range(len(dataset))] == ["a", "b"]


def test_wrong_paths_name_what_there_is(folder: Folder, tmp_path: Path) -> None:
    root = folder(a=objects(("cat", 1, 1, 9, 9)))
    with pytest.raises(DataError, match=r"trian.txt: no such list; the lists there are 'train'"):
        VOC(root, "trian")
    (root / "ImageSets/Main/empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty.txt: no usable image.*nothing is listed there"):
        VOC(root, "empty")
    (root / "ImageSets/Main/gone.txt").write_text("x\ny\n")
    with pytest.raises(DataError, match=r"(?s)gone.txt: no usable image. 2 problems.*'x' has neither"):
        VOC(root, "gone")
    outer = tmp_path / "outer"
    shutil.copytree(root, outer / "VOCdevkit" / "VOC2007", ignore=shutil.ignore_patterns("outer"))
    with pytest.raises(DataError, match=r"give one of its subfolders as the root: VOCdevkit/VOC2007"):
        VOC(outer)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_annotations_are_of_the_upright_picture(shared: Path, tmp_path: Path, orientation: int) -> None:
    exif = shared / "data/fixtures/exif"
    truth = json.loads((exif / "boxes_upright.json").read_text())
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("turned\n")
    shutil.copy(exif / f"orientation_{orientation}.jpg", tmp_path / "JPEGImages/turned.jpg")
    boxes = [(entry["category"], *entry["bbox"]) for entry in truth["objects"]]
    xml = objects(*[(name, x + 1, y + 1, x + w, y + h) for name, x, y, w, h in boxes], size=(240, 360))
    (tmp_path / "Annotations/turned.xml").write_text(xml)
    dataset = VOC(tmp_path)
    sample = dataset[0]
    assert sample.image.shape == (240, 360, 3) and dataset.problems == []
    np.testing.assert_allclose(sample.boxes, [[x, y, x + w, y + h] for _, x, y, w, h in boxes], atol=1e-4)
    upright = np.asarray(Image.open(exif / "orientation_1.jpg").convert("RGB")).astype(int)
    for x1, y1, x2, y2 in sample.boxes.round().astype(int):
        difference = np.abs(sample.image[y1:y2, x1:x2].astype(int) - upright[y1:y2, x1:x2])
        assert difference.mean() < 6  # JPEG of the turned picture; another part of the picture differs by far more


def test_a_size_that_is_not_the_picture_s_is_noted_and_put_right(folder: Folder) -> None:
    root = folder(a=objects(("cat", 1, 1, 50, 50), ("cat", 1, 70, 50, 78), size=(80, 60)))
    dataset = VOC(root)  # the picture is 60 high and 80 wide
    sample = dataset[0]
    assert (sample.annotation.height, sample.annotation.width) == (60, 80)
    assert sample.boxes.tolist() == [[0, 0, 50, 50]]
    dataset[0]
    (problem,) = dataset.problems
    assert problem.kind == "size" and "80×60" in problem.message and "60×80" in problem.message
    assert "1 of 2 boxes left out" in problem.message
    with pytest.raises(DataError, match="strict"):
        VOC(root, strict=True)[0]


def flat(root: Path, folder: str, **xml: str) -> None:
    """Write XML files, and nothing else, into a folder; `images` does the same for images."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for stem, text in xml.items():
        (root / folder / f"{stem}.xml").write_text(text)


def images(root: Path, folder: str, *names: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (80, 60), "gray").save(root / folder / name)


CAT, DOG = objects(("cat", 2, 3, 20, 30)), objects(("dog", 5, 5, 50, 40), ("cat", 2, 3, 20, 30))


@pytest.mark.parametrize(
    ("xml", "pictures"),
    [
        (".", "."),  # beside the images
        ("annotations", "images"),
        ("labels", "data"),  # FiftyOne
        ("xmls", "photos"),
        ("Annotations", "images"),  # Label Studio
        ("annotations", "."),
        (".", "images"),
        ("Annotations/cam1", "JPEGImages/cam1"),
        ("annotations/cam1", "images"),
        ("Annotations", "JPEGImages"),  # without lists
    ],
)
def test_xml_files_and_images_in_any_two_folders_or_one(tmp_path: Path, xml: str, pictures: str) -> None:
    flat(tmp_path, xml, a=CAT, b=DOG)
    images(tmp_path, pictures, "a.jpg", "b.PNG")
    source = find_format(tmp_path)
    assert source.format.name == "voc" and list(source.splits) == ["train"]
    dataset = source.open("train")
    assert source.check_unread([dataset]) == []
    assert dataset.problems == [] and [len(dataset.annotation(i)) for i in range(2)] == [1, 2]
    assert dataset.annotation(0).boxes.tolist() == [[1, 2, 20, 30]]
    check_dataset(dataset)
    assert len(VOC(tmp_path)) == len(VOC(tmp_path, None)) == 2


@pytest.mark.parametrize(
    ("xml", "pictures"),
    [
        ("{}", "{}"),  # Roboflow
        ("{}/annotations", "{}/images"),
        ("annotations/{}", "images/{}"),
        ("{}/labels", "{}"),
        ("Annotations/{}", "JPEGImages/{}"),
        ("labels/{}", "images"),
    ],
)
def test_splits_in_folders_of_their_own(tmp_path: Path, xml: str, pictures: str) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        flat(tmp_path, xml.format(split), **{f"a{number}": CAT, f"b{number}": DOG})
        images(tmp_path, pictures.format(split), f"a{number}.jpg", f"b{number}.jpg")
    if "{}" in pictures:  # of the same name in two splits
        for split, text in (("train", CAT), ("valid", DOG)):
            flat(tmp_path, xml.format(split), same=text)
            images(tmp_path, pictures.format(split), "same.jpg")
    source = find_format(tmp_path)
    assert source.format.name == "voc" and list(source.splits) == ["train", "val", "test"]
    datasets = {split: source.open(split) for split in source.splits}
    if "{}" in pictures:
        assert source.check_unread(list(datasets.values())) == []
        assert [len(dataset.columns.boxes) for dataset in datasets.values()] == [4, 5, 3]
        assert all(dataset.problems == [] for dataset in datasets.values())
        assert len(VOC(tmp_path, "valid")) == 3
    else:  # one folder of images for all splits
        assert [[problem.kind for problem in d.problems] for d in datasets.values()] == [["left-out-image"]] * 3
        assert "4 images in" in datasets["train"].problems[0].message


def test_an_image_that_only_filename_names(tmp_path: Path) -> None:
    named = [text.replace("<annotation>", f"<annotation><filename>C:\\x\\{name}</filename>") for text, name in
             ((CAT, "IMG_7.jpg"), (DOG, "IMG_9.jpg"))]  # fmt: skip
    flat(tmp_path, "xml", **{"0001": named[0], "0002": named[1]})
    images(tmp_path, "photos", "IMG_7.jpg", "IMG_9.jpg")
    dataset = find_format(tmp_path).open("train")
    assert [dataset.path(i).name for i in range(2)] == ["IMG_7.jpg", "IMG_9.jpg"] and dataset.problems == []
    images(tmp_path, "photos", "alone.jpg")
    flat(tmp_path, "xml", again=named[0], gone=CAT)
    dataset = find_format(tmp_path).open("train")
    assert {(Path(problem.path).stem, problem.kind) for problem in dataset.problems} == {
        ("alone", "missing-annotation"), ("again", "duplicate"), ("gone", "missing-image"),
    }  # fmt: skip


def test_of_two_images_of_a_name_filename_chooses_and_the_other_is_said(tmp_path: Path) -> None:
    flat(tmp_path, ".", a=CAT.replace("<annotation>", "<annotation><filename>a.png</filename>"))
    images(tmp_path, ".", "a.jpg", "a.png")
    dataset = find_format(tmp_path).open("train")
    assert dataset.path(0).name == "a.png" and len(dataset) == 1
    (problem,) = dataset.problems
    assert problem.kind == "missing-annotation" and "a.jpg: a.xml is that of another image" in problem.message


def test_several_folders_of_xml_files_are_named(tmp_path: Path) -> None:
    for name in ("first", "second"):
        flat(tmp_path, name, a=CAT)
    images(tmp_path, "images", "a.jpg")
    with pytest.raises(DataError, match=r"several folders hold XML files, first, second: give one"):
        VOC(tmp_path)
    chosen = VOC(tmp_path, None, annotations=tmp_path / "second")
    assert len(chosen) == 1 and chosen.problems == []
    with pytest.raises(DataError, match="no such folder; `annotations`"):
        VOC(tmp_path, None, annotations=tmp_path / "third")
    with pytest.raises(DataError, match=r"no such folder; `images` \(--images\)"):
        VOC(tmp_path, None, annotations=tmp_path / "second", images=tmp_path / "none")
    (tmp_path / "images/a.jpg").unlink()
    with pytest.raises(DataError, match=r"no image in .* has the name of an XML file"):
        VOC(tmp_path, None, annotations=tmp_path / "second")


@pytest.mark.parametrize(
    ("named", "written", "word"),
    [
        ("gb2312", "gb2312", "图片"), ("GB2312", "gbk", "圖片"), ("gbk", "gb18030", "图片"),
        ("gb18030", "gb18030", "图"),
        ("big5", "big5", "圖片"), ("Shift_JIS", "shift_jis", "画像"), ("shift_jis", "cp932", "①画像"),
        ("euc-jp", "euc-jp", "画像"), ("euc-kr", "cp949", "사진"), ("utf-16", "utf-16", "画像"),
        ("UTF-16", "utf-8", "画像"),
        ("windows-1251", "cp1251", "кот"), ("iso-8859-2", "iso-8859-2", "źdźbło"), ("latin-1", "latin-1", "Äpfel"),
        ("koi8-r", "koi8-r", "кот"), ("gb2312", "utf-8-sig", "图片"), ("utf-8", "utf-8", "图片"),
    ],
)  # fmt: skip
def test_encodings_that_xml_names(folder: Folder, named: str, written: str, word: str) -> None:
    root = folder(a=CAT)
    text = f'<?xml version="1.0" encoding="{named}" ?>\n' + objects((word, 2, 3, 20, 30))
    (root / "Annotations/a.xml").write_bytes(text.encode(written))
    dataset = VOC(root)
    assert dataset.problems == [] and dataset.class_names == (word,)


@pytest.mark.parametrize("named", ["rot13", "hex", "punycode", "unicode_escape", "utf-7", "no-such", "shift_jis"])
def test_encodings_that_are_none_or_not_the_file_s(folder: Folder, named: str) -> None:
    root = folder(good=CAT, bad=CAT)
    text = f'<?xml version="1.0" encoding="{named}" ?>\n' + CAT.replace("cat", "кот")
    (root / "Annotations/bad.xml").write_bytes(
        text.encode("utf-8").replace(b"</annotation>", b"<a>\xff</a></annotation>")
    )
    with pytest.warns(DataWarning, match=r"bad.xml: cannot be read as XML"):
        assert len(VOC(root)) == 1


@pytest.mark.parametrize("encoding", ["gb2312", "utf-16", "shift_jis"])
def test_document_types_are_refused_in_every_encoding(folder: Folder, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY b "cat">]>{CAT.replace("cat", "&b;")}'
    root = folder(good=CAT, bad=CAT)
    (root / "Annotations/bad.xml").write_bytes(text.encode(encoding))
    with pytest.warns(DataWarning, match="document type declaration, which is refused"):
        assert len(VOC(root)) == 1


BOX = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
PART = "<part><name>head</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"


@pytest.mark.parametrize(
    ("inner", "box"),
    [
        (PART + BOX, [1, 2, 20, 30]),
        (BOX + PART + PART, [1, 2, 20, 30]),
        ("<bndbox><xmin>2</xmin><xmax>20</xmax><ymin>3</ymin><ymax>30</ymax></bndbox>", [1, 2, 20, 30]),
        ("<bndbox><ymax>30</ymax><ymin>3</ymin><xmax>20</xmax><xmin>2</xmin></bndbox>", [1, 2, 20, 30]),
        (
            "<bndbox><xmin> 2.50 </xmin><ymin>3.0</ymin><xmax>2.025e1</xmax><ymax>30</ymax></bndbox>",
            [1.5, 2, 20.25, 30],
        ),
        ("<truncated>Unspecified</truncated><occluded>2</occluded>" + BOX, [1, 2, 20, 30]),
    ],
)
def test_forms_of_boxes(folder: Folder, inner: str, box: list[float]) -> None:
    dataset = VOC(folder(a=f"<annotation><object><name>cat</name>{inner}</object></annotation>".replace(
        "<annotation>", "<annotation><size><width>80</width><height>60</height></size>")))  # fmt: skip
    assert dataset.annotation(0).boxes.tolist() == [box] and dataset.problems == []


def test_a_turned_box_is_the_upright_one_around_it(folder: Folder) -> None:
    turned = "<robndbox><cx>{}</cx><cy>{}</cy><w>{}</w><h>{}</h><angle>{}</angle></robndbox>"
    rows = [turned.format(40, 30, 20, 10, 0), turned.format(40, 30, 20, 10, np.pi / 2)]
    text = "".join(f"<object><type>robndbox</type><name>ship</name>{row}</object>" for row in rows)
    root = folder(a=f"<annotation><size><width>80</width><height>60</height></size>{text}</annotation>")
    with pytest.warns(DataWarning, match=r"2 objects have a <robndbox>, the first is a.xml, object 1 \(ship\)"):
        dataset = VOC(root, strict=True)
    np.testing.assert_allclose(dataset.annotation(0).boxes, [[30, 25, 50, 35], [35, 20, 45, 40]], atol=1e-5)


@pytest.mark.parametrize(("flag", "ignored"), [("true", 1), (" 1 ", 1), ("", 0), ("false", 0), ("0", 0), ("no", 0)])
def test_words_for_difficult(folder: Folder, flag: str, ignored: int) -> None:
    dataset = VOC(folder(a=objects(("cat", 2, 3, 20, 30, flag))))
    assert dataset.problems == [] and dataset.annotation(0).ignore.tolist() == [bool(ignored)]


@pytest.mark.parametrize("flag", ["Unspecified", "2", "-1", "maybe"])
def test_other_values_of_difficult_are_named(folder: Folder, flag: str) -> None:
    root = folder(a=objects(("cat", 2, 3, 20, 30, flag)), b=objects(("cat", 2, 3, 20, 30, flag)))
    with pytest.warns(DataWarning, match=rf"a.xml, object 1 \(cat\): <difficult> is '{flag}', expected 0 or 1; in 2 "):
        dataset = VOC(root)
    assert [problem.kind for problem in dataset.problems] == ["unknown-value"] and not dataset.columns.ignore.any()


def test_classes_that_were_not_asked_for_are_counted_and_no_problem(folder: Folder) -> None:
    root = folder(a=objects(("cat", 1, 1, 9, 9), ("dog", 1, 1, 9, 9), ("cart", 1, 1, 9, 9), ("dog", 1, 1, 9, 9)))
    with pytest.warns(
        DataWarning, match="3 boxes of classes that are not in class_names are left out: 'dog' 2, 'cart'"
    ):
        dataset = VOC(root, class_names=["cat"], strict=True)
    assert len(dataset.annotation(0)) == 1
    assert [problem.kind for problem in dataset.problems] == ["left-out-class"]


@pytest.mark.parametrize("stem", ["screenshot 2020-12-16 16.42.21 #1 50%", "a.b.c", "-1", "ä ö.tar"])
@pytest.mark.parametrize("suffix", [".png", ".JPG", ".webp"])
@pytest.mark.parametrize("listed", ["{}", "{}.png", " {} "])
def test_names_with_dots_and_spaces(tmp_path: Path, stem: str, suffix: str, listed: str) -> None:
    flat(tmp_path, "Annotations", **{stem: CAT})
    images(tmp_path, "JPEGImages", f"{stem}{suffix}")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text(listed.format(stem) + "\n", encoding="utf-8")
    dataset = find_format(tmp_path).open("train")
    assert dataset.problems == [] and len(dataset.annotation(0)) == 1


def test_lists_with_an_underscore_and_without_trainval_twice(folder: Folder) -> None:
    root = folder(a=CAT, b=DOG)
    for name in ("my_split", "cat_train", "trainval", "default"):
        (root / f"ImageSets/Main/{name}.txt").write_text("a\n")
    assert set(find_format(root).splits) == {"train", "my_split", "default"}


def test_boxes_that_are_counted_from_0_are_told_by_the_numbers(folder: Folder) -> None:
    root = folder(a=objects(*(("cat", 0, 5 + i, 20, 30) for i in range(5)), ("cat", 9, 9, 20, 20)))
    with pytest.warns(DataWarning, match="5 of 6 boxes begin at 0, and the format counts from 1"):
        assert [problem.kind for problem in VOC(root).problems] == ["pixel-numbering"]
    dataset = VOC(root, first_pixel=0)
    assert dataset.problems == [] and dataset.annotation(0).boxes[[0, 5]].tolist() == [[0, 5, 20, 30], [9, 9, 20, 20]]
    root = folder(a=objects(("cat", 0.1, 0.2, 0.5, 0.75)))
    with pytest.warns(DataWarning, match="all 1 boxes lie in 0 .. 1"):
        assert [problem.kind for problem in VOC(root).problems] == ["normalised-boxes"]
