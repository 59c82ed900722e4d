"""`centernet convert-data`: what a person sees, and the exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from centernet.cli.main import main
from centernet.data import COCO, VOC, YOLO, Synthetic


def test_losses_and_what_was_written(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "voc"
    assert main(["convert-data", str(shared / "data/coco"), "--to", "voc", "--output", str(output)]) == 0
    text = capsys.readouterr().out
    assert "train: 100 images, 852 boxes" in text and "842 boxes rounded" in text and "links" in text
    assert text.splitlines()[-1] == f"wrote {output / 'ImageSets/Main/train.txt'}"
    assert len(VOC(output)) == 100


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_chosen_classes_in_their_order(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["convert-data", str(shared / "data/coco"), "--to", "coco", "--output", str(tmp_path / "coco")]
    assert main([*arguments, "--class-names", "dog,person", "--image-files", "copy"]) == 0
    assert "boxes of classes that are not in class_names are left out" in capsys.readouterr().out
    read = COCO(tmp_path / "coco/annotations_train.json")
    assert read.class_names == ("person", "dog")  # in the order of their ids, which are kept
    assert read.category_ids == (1, 18)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "--to"),
        (["--to", "xml", "--output", "x"], 2, "invalid choice"),
        (["--to", "mot", "--output", "x"], 1, "one size"),
        (["--to", "voc", "--output", "full"], 1, "not empty"),
        (["--to", "voc", "--output", "x", "--format", "yolo"], 1, "looks like COCO"),
    ],
)
def test_what_cannot_be(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert main(["convert-data", str(shared / "data/coco"), *arguments]) == code
    assert says in capsys.readouterr().err


def test_small_training_images_and_files_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, split in enumerate(("train", "val")):
        Synthetic(2, size=(96, 128), seed=seed).write(tmp_path / "voc", split=split)
    output = tmp_path / "yolo"
    assert main(["convert-data", str(tmp_path / "voc"), "--to", "yolo", "--output", str(output), "--shrink", "64"]) == 0
    text = capsys.readouterr().out
    assert "2 training images stored smaller" in text and text.endswith(f"\nwrote {output / 'data.yaml'}\n")
    sizes = {split: YOLO(output / "data.yaml", split).image(0).size_hw for split in ("train", "val")}
    assert sizes == {"train": (48, 64), "val": (96, 128)}


@pytest.mark.parametrize("option", ["--image-files", "--images", "--pictures"])
def test_former_names_of_the_way_images_come_along(tmp_path: Path, option: str) -> None:
    Synthetic(1, size=(32, 48)).write(tmp_path / "voc")
    for way in ("copy", "none", "link"):
        output = tmp_path / way
        assert main(["convert-data", str(tmp_path / "voc"), "--to", "coco", "--output", str(output), option, way]) == 0
        images = list((output / "images").glob("*")) if way != "none" else []
        assert [image.is_symlink() for image in images] == [way == "link"] * (way != "none")


def test_what_was_not_understood_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Synthetic(2, size=(32, 48)).write(tmp_path / "voc")
    (tmp_path / "voc/more.csv").write_text("image,xmin,ymin,xmax,ymax,class\nx.jpg,1,2,3,4,disc\n")
    arguments = ["convert-data", str(tmp_path / "voc"), "--to", "coco", "--output"]
    assert main([*arguments, str(tmp_path / "one")]) == 1 and not (tmp_path / "one").exists()
    assert "left over: more.csv (CSV of boxes)" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "two"), "--format", "voc"]) == 0
    assert "left out: more.csv (CSV of boxes)" in capsys.readouterr().out
