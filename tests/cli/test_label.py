"""`centernet label`: the command from end to end with the packaged model, what it says, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from centernet.cli.main import main
from centernet.data import COCO, Synthetic


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images in a current folder of their own."""
    monkeypatch.chdir(tmp_path)
    Synthetic(3, size=(96, 128), seed=0).write("scenes", format="coco", split="train")
    return Path("scenes/images")


def test_a_data_set_that_check_reads(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "voc-lite", "--threshold", "other=0.05,person=0.9", "--ignore-threshold", "0.01", "--flip"]
    options += ["--sizes", "64", "96x128", "--num-detections", "5", "--batch-size", "2"]
    assert main(["label", str(photos), "--output", "out", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    dataset = COCO("out/annotations_train.json", strict=True)
    assert len(dataset) == 3 and dataset.class_names[0] == "aeroplane" and len(dataset.class_names) == 20
    objects, ignored = (int((dataset.columns.ignore == flag).sum()) for flag in (False, True))
    assert objects + ignored > 0
    assert lines[-1].startswith(f"3 images, {objects} objects") and f"{ignored} regions to ignore" in lines[-1]
    assert "one split, of which nothing is set aside" in lines[-2]
    assert main(["check", "out"]) == 0 and "0 errors" in capsys.readouterr().out
    assert main(["label", str(photos), "--output", "again", *options]) == 0  # the same command, the same labels
    one, other = (Path(name, "annotations_train.json").read_bytes() for name in ("out", "again"))
    assert one == other


def test_what_detect_found_and_what_was_labelled_before(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(photos), "--format", "json", "--score-threshold", "0.02", "--output", "found"]) == 0
    truth = COCO("scenes/annotations_train.json")
    arguments = ["--model", "found/detections.json", "--teacher", "voc-lite", "--weights", "1", "1"]
    arguments += ["--keep", "scenes", "--threshold", "0.9", "--ignore-threshold", "none"]
    assert main(["label", str(photos), *arguments, "--output", "out"]) == 0
    out = capsys.readouterr().out
    assert f"kept {len(truth.columns.boxes)} boxes of 3 images from scenes" in out
    dataset = COCO("out/annotations_train.json")
    assert dataset.class_names[: len(truth.class_names)] == truth.class_names
    genuine = dataset.columns.labels < len(truth.class_names)
    np.testing.assert_allclose(dataset.columns.boxes[genuine], truth.columns.boxes, atol=0.01)
    assert json.loads(Path("out/labelling.json").read_text())["models"] == ["found/detections.json", "voc-lite"]


def test_a_bad_image_and_other_exit_codes(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    Image.new("RGB", (40, 30)).save(photos / "plain.png")
    assert main(["label", str(photos), "--output", "out", "--to", "yolo", "--image-files", "copy"]) == 1
    captured = capsys.readouterr()
    assert "left out: scenes/images/broken.jpg" in captured.err
    assert captured.out.splitlines()[-1].startswith("4 images, ") and "1 skipped" in captured.out
    assert len(list(Path("out/images/train").iterdir())) == 4
    for arguments, code, says in (
        ([], 2, "--output"),
        (["--output", "out"], 1, "not empty"),
        (["--output", "new", "--classes", "persn"], 1, "did you mean 'person'"),
        (["--output", "new", "--keep", "nowhere"], 1, "nowhere: no such file"),
        (["--output", "new", "--threshold", "2"], 2, "not within 0..1"),
    ):
        assert main(["label", str(photos), *arguments]) == code
        assert says in capsys.readouterr().err
