"""Formats and splits are found by themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from centernet.data import COCO, DataError, Synthetic
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
