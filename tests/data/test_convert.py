"""Data sets written in another format and read again: boxes, classes, flags, identities, and what is named as lost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from centernet.data import (
    COCO,
    MOT,
    VOC,
    YOLO,
    Concatenated,
    DataError,
    DetectionDataset,
    ImageFolder,
    KITTITracking,
    Subset,
    Synthetic,
)
from centernet.data.convert import convert
from centernet.data.detect_format import FORMATS, find_format
from centernet.testing import check_dataset

Objects = dict[str, list[tuple[str, bool, list[float]]]]


def objects(dataset: DetectionDataset, *, ignored: bool = True) -> Objects:
    """By the image's stem: class, flag and box of each object."""
    found: Objects = {}
    for index in range(len(dataset)):
        truth = dataset.annotation(index)
        rows = zip(truth.labels.tolist(), truth.ignore.tolist(), truth.boxes.tolist(), strict=True)
        found[truth.path.stem] = [
            (dataset.class_names[label], flag, box) for label, flag, box in rows if ignored or not flag
        ]
    return found


def assert_same(a: Objects, b: Objects, *, pixels: float) -> None:
    assert a.keys() == b.keys()
    for stem in a:
        assert [entry[:2] for entry in a[stem]] == [entry[:2] for entry in b[stem]], stem
        for (_, _, one), (_, _, other) in zip(a[stem], b[stem], strict=True):
            np.testing.assert_allclose(one, other, atol=pixels, err_msg=stem)


def open_coco(shared: Path) -> DetectionDataset:
    return COCO(shared / "data/coco/annotations.json")


def open_part(name: str, count: int) -> Callable[[Path], DetectionDataset]:
    def read(shared: Path) -> DetectionDataset:
        dataset = VOC(shared / "data" / name, "val")
        return Subset(dataset, range(min(count, len(dataset))))

    return read


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")  # BCCD has a box without area
@pytest.mark.parametrize(
    "source",
    [open_coco, open_part("bccd", 30), open_part("helmet", 40), open_part("voc2007", 40)],
    ids=["coco", "bccd", "helmet", "voc2007"],
)
def test_around_the_formats(shared: Path, tmp_path: Path, source: Callable[[Path], DetectionDataset]) -> None:
    original = source(shared)
    truth = objects(original)
    convert({"train": original}, tmp_path / "coco", to="coco")
    coco = COCO(tmp_path / "coco/annotations_train.json")
    assert_same(truth, objects(coco), pixels=0.01)
    convert({"train": coco}, tmp_path / "voc", to="voc")
    voc = VOC(tmp_path / "voc")
    assert_same(truth, objects(voc), pixels=1)
    convert({"train": voc}, tmp_path / "yolo", to="yolo")
    yolo = YOLO(tmp_path / "yolo")
    convert({"train": yolo}, tmp_path / "back", to="coco")
    back = COCO(tmp_path / "back/annotations_train.json")
    assert_same(objects(original, ignored=False), objects(back), pixels=1)
    assert_same(objects(voc, ignored=False), objects(back), pixels=0.01)  # only VOC's rounding is felt
    for dataset in (coco, voc, yolo, back):
        assert dataset.problems == []
        check_dataset(dataset, samples=3)


def test_coco_s_numbers_stay(shared: Path, tmp_path: Path) -> None:
    original = COCO(shared / "data/coco/annotations.json")
    convert({"train": original}, tmp_path / "again", to="coco")
    again = COCO(tmp_path / "again/annotations_train.json")
    assert again.class_names == original.class_names and again.category_ids == original.category_ids
    for index in range(len(original)):
        a, b = original.annotation(index), again.annotation(index)
        assert a.image_id == b.image_id and a.path.name == b.path.name
        np.testing.assert_allclose(a.areas, b.areas, atol=0.01)
        assert np.array_equal(a.ignore, b.ignore)


def test_the_files_are_as_other_programs_expect_them(shared: Path, tmp_path: Path) -> None:
    original = COCO(shared / "data/coco/annotations.json")
    convert({"train": original, "val": Subset(original, [0, 1])}, tmp_path / "voc", to="voc")
    text = (tmp_path / "voc/Annotations/000000348881.xml").read_text()
    assert "." not in text.partition("<object>")[2]  # programs read VOC's coordinates by int()
    assert (tmp_path / "voc/ImageSets/Main/val.txt").read_text().split() == [
        original.path(index).stem for index in (0, 1)
    ]
    convert({"train": original, "val": Subset(original, [0, 1])}, tmp_path / "yolo", to="yolo")
    content = yaml.safe_load((tmp_path / "yolo/data.yaml").read_text())
    assert content["names"][0] == "person" and len(content["names"]) == 80
    assert content["train"] == "images/train" and content["val"] == "images/val"
    rows = (tmp_path / "yolo/labels/train/000000348881.txt").read_text().split("\n")[0].split()
    assert len(rows) == 5 and all(0 <= float(value) <= 1 for value in rows[1:])
    convert({"train": Subset(original, [0])}, tmp_path / "coco", to="coco")
    entry = json.loads((tmp_path / "coco/annotations_train.json").read_text())["annotations"][0]
    assert entry.keys() >= {"id", "image_id", "category_id", "bbox", "area", "iscrowd"}


def test_every_loss_is_named(shared: Path, tmp_path: Path) -> None:
    original = COCO(shared / "data/coco/annotations.json")
    crowds = sum(int(original.annotation(index).ignore.sum()) for index in range(len(original)))
    assert crowds == 10
    to_voc = "\n".join(convert({"train": original}, tmp_path / "voc", to="voc").losses)
    for part in ("rounded to whole pixels", "areas", "ids of images", "classes without an object", "masks", "order"):
        assert part in to_voc
    assert "left out" not in to_voc  # nothing is
    result = convert({"train": original}, tmp_path / "yolo", to="yolo")
    assert any(line.startswith("10 boxes to ignore left out") for line in result.losses)
    assert result.boxes == {"train": 842} and result.images == {"train": 100}


def kitti(shared: Path) -> KITTITracking:
    with pytest.warns(match="no image"):  # three full label files, six frames
        return KITTITracking(shared / "data/kitti_tracking")


def test_identities_and_flags_go_to_mot(shared: Path, tmp_path: Path) -> None:
    original = kitti(shared)
    result = convert({"train": original}, tmp_path / "mot", to="mot")
    assert any("regions of any class written once for each of the 3 classes" in line for line in result.losses)
    read = MOT(tmp_path / "mot/train")
    assert read.class_names == original.class_names and read.problems == []
    check_dataset(read, samples=2)
    assert [(s.name, len(s), s.frame_rate) for s in read.sequences] == [
        (s.name, len(s), s.frame_rate) for s in original.sequences
    ]
    same: dict[int, int] = {}
    for index in range(len(original)):
        a, b = original.annotation(index), read.annotation(index)
        np.testing.assert_allclose(a.boxes[~a.ignore], b.boxes[~b.ignore], atol=0.01)
        assert np.array_equal(a.labels[~a.ignore], b.labels[~b.ignore])
        for one, other in zip(a.ids[~a.ignore].tolist(), b.ids[~b.ignore].tolist(), strict=True):
            assert same.setdefault(one, other) == other
    assert len(set(same.values())) == len(same) > 10
    # A region of any class is one of each class.
    regions = [int((original.annotation(i).labels < 0).sum()) for i in range(len(original))]
    flagged = [int(read.annotation(i).ignore.sum()) for i in range(len(read))]
    others = [int(((a := original.annotation(i)).ignore & (a.labels >= 0)).sum()) for i in range(len(original))]
    assert flagged == [3 * region + other for region, other in zip(regions, others, strict=True)]


def test_videos_and_back(shared: Path, tmp_path: Path) -> None:
    original = MOT(shared / "data/mot", ["TUD-Campus", "PETS09-S3-MF1"])
    result = convert({"train": original}, tmp_path / "coco", to="coco")
    assert any("979 identities lost" in line for line in result.losses)  # 359 + 620 rows, as the data's README says
    assert any("renamed" in line for line in result.losses)  # both have a 000001.jpg
    coco = COCO(tmp_path / "coco/annotations_train.json")
    assert len(coco) == 71 + 107 and coco.problems == []
    again = convert({"train": original}, tmp_path / "mot", to="mot", images="copy")
    assert len(again.files) == 2
    read = MOT(tmp_path / "mot/train", ["TUD-Campus"])
    first = MOT(shared / "data/mot", ["TUD-Campus"])
    for index in range(len(first)):
        np.testing.assert_allclose(first.annotation(index).boxes, read.annotation(index).boxes, atol=0.01)
        assert np.array_equal(first.annotation(index).ids, read.annotation(index).ids)
    assert not (tmp_path / "mot/train/TUD-Campus/img1/000001.jpg").is_symlink()


def test_images_of_many_sizes_are_no_video(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"45 sizes.*holds videos"):
        convert({"train": COCO(shared / "data/coco/annotations.json")}, tmp_path / "mot", to="mot")


def test_objects_without_identity_get_one_each(tmp_path: Path) -> None:
    scenes = Synthetic(4, size=(64, 96), seed=3)
    scenes.write(tmp_path / "voc")
    result = convert({"train": VOC(tmp_path / "voc")}, tmp_path / "mot", to="mot")
    assert any("without an identity" in line for line in result.losses)
    assert any("frame rate" in line for line in result.losses)
    read = MOT(tmp_path / "mot/train")
    ids = np.concatenate([read.annotation(index).ids[~read.annotation(index).ignore] for index in range(len(read))])
    assert len(set(ids.tolist())) == len(ids) > 4


def write_thin_boxes(folder: Path) -> COCO:
    """Boxes narrower than VOC can say, in the middle and at both edges."""
    folder.mkdir()
    Image.new("RGB", (60, 40)).save(folder / "a.png")
    boxes = [[10.2, 5, 0.5, 20], [0, 0, 1, 30], [59, 10, 1, 1], [20.5, 10.5, 1.4, 8]]
    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": 40, "width": 60}],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 1, "bbox": box, "iscrowd": 0} for n, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "<thin> & 'odd'"}],
    }
    (folder / "a.json").write_text(json.dumps(content))
    return COCO(folder / "a.json")


def test_thin_boxes_survive_voc(tmp_path: Path) -> None:
    original = write_thin_boxes(tmp_path / "source")
    result = convert({"train": original}, tmp_path / "voc", to="voc")
    assert any(line.startswith("4 boxes widened") for line in result.losses)
    read = VOC(tmp_path / "voc")
    assert read.class_names == ("<thin> & 'odd'",) and read.problems == []
    a, b = original.annotation(0).boxes, read.annotation(0).boxes
    assert a.shape == b.shape and np.abs(a - b).max() <= 1.5
    assert (b >= 0).all() and (b <= [60, 40, 60, 40]).all()


def test_images_of_one_name_are_told_apart(tmp_path: Path) -> None:
    entries: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    for number, name in enumerate(["a/p.png", "b/p.png", "b/p.jpg"]):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (90 * number, 0, 0)).save(path)
        entries["images"].append({"id": number, "file_name": name, "height": 20, "width": 20})
        entries["annotations"].append({"id": number, "image_id": number, "category_id": 1, "bbox": [number, 1, 9, 9]})
    (tmp_path / "source/all.json").write_text(json.dumps(entries))
    original = COCO(tmp_path / "source/all.json")
    assert len(original) == 3
    result = convert({"train": original}, tmp_path / "yolo", to="yolo", images="copy")
    assert any("3 images renamed" in line for line in result.losses)
    read = YOLO(tmp_path / "yolo")
    assert len(read) == 3 and read.problems == []
    assert {int(read[i].image[0, 0, 0]) // 80: float(read.annotation(i).boxes[0, 0]) for i in range(3)} == {
        0: pytest.approx(0, abs=0.01),
        1: pytest.approx(1, abs=0.01),
        2: pytest.approx(2, abs=0.01),
    }


def test_splits_share_one_list_of_classes(tmp_path: Path) -> None:
    Synthetic(6, size=(64, 64), class_names=["star", "disc"], seed=1).write(tmp_path / "voc", split="train")
    Synthetic(6, size=(64, 64), class_names=["disc"], seed=2).write(tmp_path / "voc", split="val")
    splits = {name: VOC(tmp_path / "voc", name) for name in ("train", "val")}
    convert(splits, tmp_path / "coco", to="coco")
    read = [COCO(tmp_path / f"coco/annotations_{name}.json") for name in splits]
    assert read[0].class_names == read[1].class_names == ("disc", "star")
    assert read[0].category_ids == read[1].category_ids
    for name, dataset in zip(splits, read, strict=True):
        assert_same(objects(splits[name]), objects(dataset), pixels=0.01)


def test_images_are_linked_copied_or_left(tmp_path: Path) -> None:
    Synthetic(2, size=(32, 48)).write(tmp_path / "voc")
    source = VOC(tmp_path / "voc")
    convert({"train": source}, tmp_path / "link", to="coco")
    convert({"train": source}, tmp_path / "copy", to="coco", images="copy")
    convert({"train": source}, tmp_path / "none", to="coco", images="none")
    name = source.path(0).name
    assert (tmp_path / "link/images" / name).is_symlink() and (tmp_path / "link/images" / name).is_file()
    assert (tmp_path / "copy/images" / name).read_bytes() == source.path(0).read_bytes()
    assert not (tmp_path / "none/images" / name).exists()
    drawn = Synthetic(2, size=(32, 48))
    convert({"train": drawn}, tmp_path / "drawn", to="yolo")
    read = YOLO(tmp_path / "drawn")
    assert np.array_equal(read[1].image, drawn[1].image)


def test_wrong_calls_say_what_is_wrong(tmp_path: Path) -> None:
    dataset = Synthetic(1, size=(32, 32))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(DataError, match="not empty"):
        convert({"train": dataset}, tmp_path / "full", to="coco")
    with pytest.raises(DataError, match="nothing to convert"):
        convert({}, tmp_path / "new", to="coco")
    with pytest.raises(DataError, match="'xml'"):
        convert({"train": dataset}, tmp_path / "new", to="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_training_images_become_smaller_with_their_boxes(tmp_path: Path, to: Any) -> None:
    whole, tiny = Synthetic(3, size=(120, 160), seed=1), Synthetic(2, size=(60, 70), seed=2)
    root = tmp_path / "source"
    for split, dataset in (("train", whole), ("val", whole), ("train_2", tiny)):
        dataset.write(root, format="coco", split=split)
    sources = {split: COCO(root / f"annotations_{split}.json") for split in ("train", "val", "train_2")}
    joined = {"train": Concatenated([sources["train"], sources["train_2"]]), "val": sources["val"]}
    result = convert(joined, tmp_path / "out", to=to, shrink=80)
    assert "3 training images stored smaller; those of other splits stay whole" in result.losses
    source = find_format(tmp_path / "out")
    train, val = (source.open(split) for split in ("train", "val"))
    assert train.problems == val.problems == []
    for index in range(5):
        image, original = train[index], joined["train"][index]
        assert image.image.shape == ((60, 80, 3) if index < 3 else (60, 70, 3))
        scale = 0.5 if index < 3 else 1
        if to == "coco":
            np.testing.assert_allclose(image.boxes, original.boxes * scale, atol=0.01)
            np.testing.assert_allclose(image.annotation.areas, original.annotation.areas * scale**2, rtol=1e-4)
        half = cv2.resize(original.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        assert np.abs(image.image.astype(int) - half).mean() < 4
    assert not train.path(0).is_symlink() and train.path(4).is_symlink()  # small enough: as it was
    assert all(val.image(index).size_hw == (120, 160) for index in range(3)) and val.path(0).is_symlink()
    with pytest.raises(DataError, match="shrink"):
        convert(joined, tmp_path / "other", to=to, images="none", shrink=80)


def test_what_each_reader_leaves_behind_is_said() -> None:
    silent = [row.name for row in FORMATS if not row.reader.not_read and row.reader is not ImageFolder]
    assert not silent, f"formats whose class says nothing in not_read: {silent}"


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
@pytest.mark.parametrize("to", ["voc", "yolo", "coco"])
@pytest.mark.parametrize("name", [b"gr\xfcn", "\u6c7d\u8f66".encode("gbk")])
def test_names_that_are_no_utf_8_go_around(tmp_path: Path, to: Any, name: bytes) -> None:
    source = tmp_path / "source"
    convert({"train": Synthetic(2, size=(64, 64))}, to="voc", output=source)
    stem, other = sorted(path.stem for path in (source / "Annotations").iterdir())
    for folder in ("JPEGImages", "Annotations"):
        (path,) = (source / folder).glob(f"{stem}.*")
        os.rename(path, source / folder / (os.fsdecode(name) + path.suffix))
    listed = (source / "ImageSets/Main/train.txt").read_bytes().replace(stem.encode(), name)
    (source / "ImageSets/Main/train.txt").write_bytes(listed)
    original = VOC(source, split="train")
    convert({"train": original}, to=to, output=tmp_path / "out")
    found = find_format(tmp_path / "out")
    again = objects(found.open(next(iter(found.splits))))
    assert again.keys() == {os.fsdecode(name), other}
    assert_same(objects(original), again, pixels=0.51)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("to", ["coco", "voc", "yolo", "mot"])
def test_an_interruption_leaves_no_half_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any, there: bool
) -> None:
    dataset, output = Synthetic(4, size=(32, 32)), tmp_path / "out"
    if there:
        output.mkdir()
    images, real = [], Image.Image.save

    def stopped(image: Any, *arguments: Any, **options: Any) -> None:
        images.append(image)
        if len(images) == 3:
            raise KeyboardInterrupt
        real(image, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            convert({"train": dataset}, output, to=to, images="copy")
    assert len(images) == 3 and os.listdir(tmp_path) == ["out"] * there and not (there and os.listdir(output))
    result = convert({"train": dataset}, output, to=to, images="copy")
    assert all(file.is_file() and file.is_relative_to(output) for file in result.files)
    assert not list(tmp_path.rglob(".centernet*"))
