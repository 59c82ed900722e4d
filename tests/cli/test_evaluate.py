"""`centernet evaluate`: what a person sees, the file, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from centernet.cli.main import main
from centernet.evaluation import evaluate_crowdhuman

Run = Any


def write_truth(folder: Path, splits: tuple[str, ...] = ("train", "val")) -> dict[str, list[dict[str, Any]]]:
    """Images a.png … of each split with one object, in COCO's form. Returns the right detections of each split."""
    right: dict[str, list[dict[str, Any]]] = {}
    (folder / "images").mkdir(parents=True)
    for place, split in enumerate(splits):
        images, objects = [], []
        for i in range(3):
            name, number = f"{split}_{i}.png", 10 * place + i + 1
            Image.new("RGB", (60, 50)).save(folder / "images" / name)
            images.append({"id": number, "file_name": name, "height": 50, "width": 60})
            box = [5 + i, 5, 30, 20]
            objects.append({"id": i + 1, "image_id": number, "category_id": 7, "bbox": box, "area": 600, "iscrowd": 0})
        content = {"images": images, "annotations": objects, "categories": [{"id": 7, "name": "cat"}]}
        (folder / f"{split}.json").write_text(json.dumps(content))
        right[split] = [{key: o[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9} for o in objects]
    return right


def test_the_table_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = write_truth(tmp_path / "data")
    (tmp_path / "found.json").write_text(json.dumps(right["val"][:2]))
    assert (
        main(["evaluate", str(tmp_path / "data"), str(tmp_path / "found.json"), "--output", str(tmp_path / "o")]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'data'}: COCO; val"
    assert "  1 of 3 images have no detections" in lines and "Pascal VOC, IoU .5" in lines
    assert lines[-1] == f"wrote {tmp_path / 'o/figures.json'}"
    content = json.loads((tmp_path / "o/figures.json").read_text())
    assert content["figures"]["AP50"] == pytest.approx(67 / 101) and content["classes"]["cat"]["objects"] == 3
    assert content["counts"]["images_without_detections"] == 1


def test_a_split_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = write_truth(tmp_path / "data")
    (tmp_path / "found.json").write_text(json.dumps(right["train"]))
    arguments = ["evaluate", str(tmp_path / "data"), str(tmp_path / "found.json")]
    assert main([*arguments, "--split", "train"]) == 0
    assert "COCO; train\n" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "none of its 3 detections can be evaluated" in capsys.readouterr().err
    assert main([*arguments, "--split", "trian"]) == 1
    assert "did you mean 'train'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("truth", "more", "says"),
    [
        ("two", [], "--split says it"),
        ("data/images", [], "images without annotations"),
        ("data", ["--format", "voc"], "not in the format voc"),
        ("data", ["--root", "data"], "COCO has no option root"),
        ("nowhere", [], "no such file or folder"),
    ],
)
def test_what_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], truth: str, more: list[str],
    says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    right = write_truth(Path("data"))
    write_truth(Path("two"), ("day", "night"))
    Path("found.json").write_text(json.dumps(right["val"]))
    assert main(["evaluate", truth, "found.json", *more]) == 1
    assert says in capsys.readouterr().err


def test_images_elsewhere_or_nowhere(tmp_path: Path) -> None:
    right = write_truth(tmp_path / "data")
    (tmp_path / "data/images").rename(tmp_path / "pixels")
    (tmp_path / "found.json").write_text(json.dumps(right["val"]))
    arguments = ["evaluate", str(tmp_path / "data/val.json"), str(tmp_path / "found.json")]
    assert main([*arguments, "--images", str(tmp_path / "pixels")]) == 0
    assert main(arguments) == 0  # detections and annotations are all that is compared


def test_tracks_are_evaluated_as_tracks(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, results = (
        shared / "data/mot/TUD-Campus",
        shared / "data/oracles/tracking/results/mot15_greedy/TUD-Campus.txt",
    )
    assert main(["evaluate", str(truth), str(results), "--output", str(tmp_path / "one")]) == 0
    assert "HOTA" in capsys.readouterr().out
    assert main(["evaluate-tracking", str(truth), str(results), "--output", str(tmp_path / "two")]) == 0
    one, two = tmp_path / "one/figures.json", tmp_path / "two/tracking_metrics.json"
    assert json.loads(one.read_text()) == json.loads(two.read_text())


def test_detections_of_videos_are_evaluated_as_detections(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of YOLO's rows for the frames of a sequence."""
    from centernet.data import MOT

    dataset = MOT(shared / "data/mot/TUD-Campus")
    (tmp_path / "labels").mkdir()
    for i in range(len(dataset)):
        one = dataset.annotation(i)
        rows = []
        for x1, y1, x2, y2 in one.boxes[~one.ignore].tolist():
            centre = (x1 + x2) / 2 / one.width, (y1 + y2) / 2 / one.height
            sides = (x2 - x1) / one.width, (y2 - y1) / one.height
            rows.append(f"0 {' '.join(f'{v:.8f}' for v in (*centre, *sides))} 0.9\n")
        (tmp_path / "labels" / f"{one.path.stem}.txt").write_text("".join(rows))
    assert main(["evaluate", str(shared / "data/mot/TUD-Campus"), str(tmp_path / "labels")]) == 0
    text = capsys.readouterr().out
    assert "YOLO's results" in text and "0 pedestrian" in text and "1.000" in text


@pytest.mark.parametrize("folder", [".", "data"])
def test_tracks_are_compared_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    (tmp_path / "truth/street/gt").mkdir(parents=True)
    (tmp_path / "tracks" / folder).mkdir(parents=True)
    (tmp_path / "truth/street/gt/gt.txt").write_text("1,1,10,10,20,20,1,1,1\n2,1,12,10,20,20,1,1,1\n")
    (tmp_path / "tracks" / folder / "street.txt").write_text("1,7,10,10,20,20,1,-1,-1,-1\n2,7,12,10,20,20,1,-1,-1,-1\n")
    assert main(["evaluate", str(tmp_path / "truth"), str(tmp_path / "tracks")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["street", "1.000", "1.000", "1.000"] in [row[:4] for row in rows]


def test_crowdhumans_files_need_no_images(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "data/oracles/detection"
    truth, found = (str(folder / f"crowdhuman_{name}.odgt") for name in ("gt", "dets"))
    assert main(["evaluate", truth, found, "--output", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert figures == dict(evaluate_crowdhuman(truth, found).stats)
    captured = capsys.readouterr()
    assert "own figures alone, as the images cannot be read" in captured.err and "MR-2" in captured.out
