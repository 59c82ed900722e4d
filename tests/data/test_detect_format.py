"""Formats and splits are found by themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from centernet.data import COCO, DataError, Synthetic
from centernet.data.audit import audit
from centernet.data.audit_subject import open_folder
from centernet.data.convert import convert
from centernet.data.detect_format import FORMATS, find_format


@pytest.mark.parametrize(
    ("folder", "name", "splits"),
    [
        ("voc2007", "voc", ["train", "val"]),
        ("bccd", "voc", ["train", "val", "test"]),
        ("coco", "coco", ["train"]),
        ("mot", "mot", ["train"]),
        ("mot/TUD-Campus", "mot", ["train"]),
        ("kitti_tracking", "kitti", ["train"]),
        ("crowdhuman", "crowdhuman", ["train"]),
        ("coco/images", "images", ["train"]),
        ("fixtures/messy_voc", "voc", ["train", "val"]),
        ("coco/annotations.json", "coco", ["train"]),
    ],
)
def test_real_data(shared: Path, folder: str, name: str, splits: list[str]) -> None:
    source = find_format(shared / "data" / folder)
    assert source.format.name == name and list(source.splits) == splits


def write(folder: Path, to: Any, *splits: str) -> Path:
    datasets = {split: Synthetic(2, size=(32, 48), seed=seed) for seed, split in enumerate(splits)}
    convert(datasets, folder, to=to)
    return folder


@pytest.mark.parametrize("to", ["coco", "voc", "yolo", "mot"])
def test_what_is_written_is_recognised_and_opened(tmp_path: Path, to: str) -> None:
    source = find_format(write(tmp_path / "data", to, "train", "val"))
    assert source.format.name == to and list(source.splits) == ["train", "val"]
    for split in source.splits:
        assert len(source.open(split)) == 2
    section = yaml.safe_load(source.configuration())["data"]
    assert section["train"]["class_path"] == source.format.reader.__name__
    assert len(source.format.reader(**section["val"]["init_args"])) == 2


def test_each_format_is_a_row_with_a_name_of_its_own() -> None:
    assert len({row.name for row in FORMATS}) == len(FORMATS)
    assert all(row.title and row.layout for row in FORMATS)


def test_layouts_of_coco(tmp_path: Path) -> None:
    """COCO's own, beside which keypoints and captions lie, and that of one folder a split."""
    content = write(tmp_path / "flat", "coco", "train") / "annotations_train.json"
    own = tmp_path / "own/annotations"
    own.mkdir(parents=True)
    for name in ("instances_train2017", "instances_val2017", "person_keypoints_val2017"):
        shutil.copy(content, own / f"{name}.json")
    (own / "captions_val2017.json").write_text(json.dumps({"images": [], "annotations": []}))
    splits = find_format(tmp_path / "own").splits
    assert {name: arguments["annotations"].stem for name, arguments in splits.items()} == {
        "train": "instances_train2017",
        "val": "instances_val2017",
    }
    for name in ("train", "valid"):
        (tmp_path / "export" / name).mkdir(parents=True)
        shutil.copy(content, tmp_path / "export" / name / "_annotations.coco.json")
    assert list(find_format(tmp_path / "export").splits) == ["train", "val"]


def test_lists_of_voc(tmp_path: Path) -> None:
    lists = write(tmp_path / "voc", "voc", "train") / "ImageSets/Main"
    for name in ("trainval", "val", "aeroplane_train", "test"):
        shutil.copy(lists / "train.txt", lists / f"{name}.txt")
    assert list(find_format(tmp_path / "voc").splits) == ["train", "val", "test"]
    (lists / "train.txt").unlink()
    assert find_format(tmp_path / "voc").splits["train"]["split"] == "trainval"
    shutil.rmtree(tmp_path / "voc/ImageSets")
    assert find_format(tmp_path / "voc").splits == {"train": {"root": tmp_path / "voc", "split": None}}


def test_several_formats_in_one_folder(shared: Path) -> None:
    source = find_format(shared / "data/voc2007")
    assert "COCO" in source.also
    chosen = find_format(shared / "data/voc2007", name="coco")
    assert isinstance(chosen.open("val"), COCO) and "Pascal VOC" in chosen.also


def test_a_list_of_images_is_no_table_of_boxes(tmp_path: Path) -> None:
    Synthetic(2, size=(32, 48)).write(tmp_path / "voc")
    folder = tmp_path / "voc/JPEGImages"
    names = sorted(path.name for path in folder.iterdir())
    for list_name in ("train.txt", "files"):
        (folder / list_name).write_text("".join(f"{name}\n" for name in names))
    source = find_format(folder)
    assert source.format.name == "images" and not source.also
    (line,) = source.check_unread([source.open("train")])
    assert line == "no annotations by their content: files, train.txt (a list)"


def test_pictures_alone(tmp_path: Path) -> None:
    Synthetic(2, size=(32, 48)).write(tmp_path / "voc")
    source = find_format(tmp_path / "voc/JPEGImages")
    assert source.format.name == "images" and len(source.open("train")) == 2
    shutil.rmtree(tmp_path / "voc/Annotations")
    source = find_format(tmp_path / "voc")  # in a subfolder
    assert source.format.name == "images" and len(source.open("train")) == 2


def test_a_big_json_file_is_not_parsed_as_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "coco", "coco", "train") / "annotations_train.json"
    monkeypatch.setattr(yaml, "safe_load", lambda text: pytest.fail("parsed"))
    assert find_format(path).format.name == "coco"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        find_format(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"(?s)no data set in a known format.*Annotations and JPEGImages.*data\.yaml"):
        find_format(tmp_path)
    write(tmp_path / "voc", "voc", "train")
    with pytest.raises(DataError, match=r"not in the format yolo.*looks like Pascal VOC"):
        find_format(tmp_path / "voc", name="yolo")
    with pytest.raises(DataError, match=r"'cocoo' \(did you mean 'coco'\?\)"):
        find_format(tmp_path / "voc", name="cocoo")


def test_an_option_that_a_reader_lacks(tmp_path: Path) -> None:
    source = find_format(write(tmp_path / "VOC2028", "voc", "train"))
    assert source.format.name == "helmet"
    source.options["class_names"] = ["hat"]
    with pytest.raises(DataError, match="has no option class_names"):
        source.open("train")


def test_an_unzipped_export_is_found_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "top/export/My-Project-3", "yolo", "train", "val")
    source = find_format(tmp_path / "top")
    assert source.description == "YOLO; found in export/My-Project-3" and list(source.splits) == ["train", "val"]
    assert not source.check_unread([source.open(split) for split in source.splits])


def test_folders_of_splits_are_one_data_set_and_others_are_named(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "valid")):
        Synthetic(2, size=(32, 48), seed=seed).write(tmp_path / "export" / split, format="voc", split="default")
    source = find_format(tmp_path / "export")
    assert list(source.splits) == ["train", "val"] and len(source.open("val")) == 2
    (tmp_path / "export/valid").rename(tmp_path / "export/second")
    with pytest.raises(DataError, match=r"several data sets, give one of them: second \(Pascal VOC\); train \(Pascal"):
        find_format(tmp_path / "export")


def test_links_are_followed_and_cycles_end(tmp_path: Path) -> None:
    write(tmp_path / "store", "coco", "train")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/linked").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "store/again").symlink_to(tmp_path / "data", target_is_directory=True)
    source = find_format(tmp_path / "data")
    assert source.description == "COCO; found in linked" and len(source.open("train")) == 2
    assert not source.check_unread([source.open("train")])


ROWS, XML = "0 0.5 0.5 0.2 0.2\n", "<annotation><object/></annotation>"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("labels/old/a.txt", ROWS, "rows as YOLO's"),
        ("a.xml", XML, "VOC's XML"),
        ("more.csv", "image,xmin,ymin,xmax,ymax\n", "CSV of boxes"),
        ("broken.json", "{", "not valid JSON"),
        ("instances_val.json", "", "empty"),
        ("data.yaml", "names: [a", "not valid YAML"),
    ],
)
def test_what_nobody_read_is_an_error(tmp_path: Path, name: str, content: str, what: str) -> None:
    write(tmp_path, "coco", "train")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)
    (tmp_path / "README.roboflow.txt").write_text("The data set includes 2 images, made by me.\n")
    source = find_format(tmp_path)
    dataset = source.open("train")
    with pytest.raises(DataError, match=rf"(?s)read as COCO, but .*left over: {name} \({what}.*--format"):
        source.check_unread([dataset])
    chosen = find_format(tmp_path, name="coco")
    lines = chosen.check_unread([chosen.open("train")])
    assert lines[0].startswith(f"left out: {name} (") and "README.roboflow.txt (text)" in lines[1]


def test_empty_folders_and_files_are_no_images_without_annotations(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "coco", "train") / "images"
    (tmp_path / "data/annotations_train.json").unlink()
    assert find_format(tmp_path / "data").format.name == "images"
    (tmp_path / "data/annotations").mkdir()
    with pytest.raises(DataError, match=r"no data set in a known format.*\n.*\n  annotations \(an empty folder\)"):
        find_format(tmp_path / "data")
    (tmp_path / "data/annotations").rmdir()
    (folder / "a.txt").touch()
    with pytest.raises(DataError, match=r"images/a.txt \(empty\)"):
        find_format(tmp_path / "data")
    assert find_format(tmp_path / "data", name="images").format.name == "images"
    (folder / "a.txt").rename(tmp_path / "data/annotations.zip").write_bytes(b"PK\3\4")
    with pytest.raises(DataError, match=r"annotations.zip \(an archive, not unpacked\)"):
        find_format(tmp_path / "data")


def test_a_second_version_of_the_same_images_is_no_loss(tmp_path: Path) -> None:
    write(tmp_path, "voc", "train")
    datasets = {"train": COCO(write(tmp_path / "other", "coco", "train") / "annotations_train.json")}
    del datasets
    content = json.loads((tmp_path / "other/annotations_train.json").read_text())
    shutil.rmtree(tmp_path / "other")
    names = sorted(path.name for path in (tmp_path / "JPEGImages").iterdir())
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = f"JPEGImages/{name}"
    (tmp_path / "all.json").write_text(json.dumps(content))
    source = find_format(tmp_path)
    assert source.also == ["COCO"] and not source.check_unread([source.open("train")])
    Synthetic(1, size=(32, 48), seed=9).write(tmp_path / "third", format="voc")
    (new,) = (tmp_path / "third/JPEGImages").iterdir()
    content["images"].append({"id": 77, "file_name": f"third/JPEGImages/{new.name}", "width": 48, "height": 32})
    (tmp_path / "all.json").write_text(json.dumps(content))
    source = find_format(tmp_path)
    with pytest.raises(DataError, match=r"all.json \(COCO's JSON\)"):
        source.check_unread([source.open("train")])


def test_companions_are_said_and_no_error(tmp_path: Path) -> None:
    root = write(tmp_path, "mot", "train") / "train"
    (video,) = root.iterdir()
    (video / "det").mkdir()
    (video / "det/det.txt").write_text("1,-1,10,20,30,40,0.9,-1,-1,-1\n")
    source = find_format(tmp_path)
    (line,) = source.check_unread([source.open("train")])
    assert line.startswith("not read, as boxes do not need it") and "det/det.txt (rows of numbers)" in line


def test_xml_files_that_lists_of_other_tasks_name(tmp_path: Path) -> None:
    """VOC2012 has many images for segmentation alone."""
    write(tmp_path, "voc", "train")
    (first, second) = sorted((tmp_path / "Annotations").iterdir())
    (tmp_path / "ImageSets/Main/train.txt").write_text(f"{first.stem}\n")
    source = find_format(tmp_path)
    with pytest.raises(DataError, match=second.name):
        source.check_unread([source.open("train")])
    (tmp_path / "ImageSets/Segmentation").mkdir()
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text(f"{second.stem}\n")
    source = find_format(tmp_path)
    source.check_unread([source.open("train")])


def test_options_say_what_is_what(tmp_path: Path) -> None:
    content = write(tmp_path / "made", "coco", "train") / "annotations_train.json"
    data = tmp_path / "data"
    data.mkdir()
    for name in ("first", "second"):
        shutil.copy(content, data / f"{name}.json")
    images = (tmp_path / "made/images").rename(tmp_path / "photos")
    source = find_format(data, images=images, splits={"train": "second", "val": "first.json"})
    assert {split: arguments["annotations"].name for split, arguments in source.splits.items()} == {
        "train": "second.json",
        "val": "first.json",
    }
    assert len(source.open("val")) == 2 and source.section("val")["init_args"]["images"] == str(images)
    for splits, message in (({"train": "third"}, "no split 'third'"), ({"val": str(images)}, "no split")):
        with pytest.raises(DataError, match=message):
            find_format(data, splits=splits)
    with pytest.raises(DataError, match="no such folder"):
        find_format(data, images=tmp_path / "none")
    voc = write(tmp_path / "voc", "voc", "train", "val")
    assert find_format(voc, splits={"train": "val"}).splits == {"train": {"root": voc, "split": "val"}}
    with pytest.raises(DataError, match="has no option images"):
        find_format(images, images=images).open("train")
    with pytest.raises(DataError, match="give the folder itself in place of"):
        find_format(voc, root=images).open("train")


def test_a_single_split_of_any_name_is_trained_on(tmp_path: Path) -> None:
    content = write(tmp_path, "coco", "train") / "annotations_train.json"
    for name, split in (("result", "train"), ("instances_default", "train"), ("my_val", "val")):
        content = content.rename(tmp_path / f"{name}.json")
        assert list(find_format(tmp_path).splits) == [split]
        assert list(find_format(content).splits) == [split]


def test_what_is_copied_or_emptied_is_an_error_of_the_check(tmp_path: Path) -> None:
    root = write(tmp_path, "mot", "train") / "train"
    (video,) = root.iterdir()
    copy = root / "copy"
    shutil.copytree(video, copy)

    def errors() -> dict[str, str]:
        subject = open_folder(find_format(root))
        report = audit(subject.datasets, failed=subject.failed, unread=subject.unread)
        return {finding.kind: str(finding) for finding in report.findings if finding.severity == "error"}

    found = errors()
    assert list(found) == ["copied-folder"] and "2 images with" in found["copied-folder"]
    assert str(copy) in found["copied-folder"] and str(video) in found["copied-folder"]
    (copy / "gt/gt.txt").write_text("\n")
    found = errors()
    assert list(found) == ["empty-annotation"] and str(copy / "gt/gt.txt") in found["empty-annotation"]
