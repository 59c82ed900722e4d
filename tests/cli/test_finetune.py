"""From a folder of pictures with boxes to a detector, in one command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from centernet import CenterNet
from centernet.cli.main import main

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*not supported by the model summary.*"),
]


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """Ten pictures with white squares, as COCO's JSON: squares are boats, large ones buses; one class is new."""
    folder = tmp_path / "own"
    folder.mkdir()
    images, annotations = [], []
    rng = np.random.default_rng(0)
    for i in range(10):
        picture = np.full((96, 128, 3), 60, np.uint8)
        side = 16 if i % 2 else 40
        x, y = (int(rng.integers(0, limit - side)) for limit in (128, 96))
        picture[y : y + side, x : x + side] = 255
        cv2.imwrite(str(folder / f"{i}.png"), picture)
        images.append({"id": i, "file_name": f"{i}.png", "width": 128, "height": 96})
        annotations.append(
            {"id": i + 1, "image_id": i, "category_id": 1 + i % 2, "bbox": [x, y, side, side], "area": side**2}
        )
    names = [{"id": 1, "name": "bus"}, {"id": 2, "name": "widget"}]
    content = {"images": images, "annotations": annotations, "categories": names}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def written(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "finetune.yaml").read_text())
    return content


def test_it_finds_format_classes_and_splits(own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(own_data), "--dry-run", "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "COCO" in said and "no split for validation" in said
    config = written(tmp_path / "out")
    assert config["start_from"] == "coco-lite" and "start coco-lite, objects are large enough for it" in said
    assert config["model"]["class_names"] == ["bus", "widget"]
    assert config["model"]["tracker"] is None and config["model"]["calibration"] is None  # those were of other scores
    train, val = (config["data"][split] for split in ("train", "val"))
    lists = [Path(split["init_args"]["images"]).read_text().split() for split in (train, val)]
    assert sorted(lists[0] + lists[1]) == [f"{i}.png" for i in range(10)] and len(lists[1]) == 2
    assert config["model"]["preprocessing"]["size"] == [416, 416] and config["model"]["level_assignment"] == "fit"
    assert main(["finetune", str(own_data), "--model", "voc-lite", "--dry-run", "--output", str(tmp_path / "out")]) == 0
    config = written(tmp_path / "out")
    # A quarter of the sides is an eighth of the picture's: 28 pixels of it need an input of 224, and the least is 320.
    assert config["start_from"] == "voc-lite" and config["model"]["preprocessing"]["size"] == [320, 320]


def test_it_trains_and_says_what_was_kept(own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["finetune", str(own_data), "--epochs", "1", "--size", "64", "--batch-size", "4", "--workers", "0"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "classes taken over: bus" in said and "widget starts " in said
    checkpoint = Path(said.strip().rsplit("--model ", 1)[1])
    model = CenterNet.load_from_checkpoint(checkpoint)
    assert model.class_names == ("bus", "widget") and model.preprocessing.size == (64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/nothing"], "no such file or folder"),
        (["{}", "--model", "voc-lite-2"], "no such model"),
        (["{}", "--format", "yolo"], "not in the format yolo"),
    ],
)
def test_what_is_wrong_is_said(
    own_data: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(own_data) for argument in arguments]
    assert main(["finetune", *given, "--dry-run", "--output", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err


def test_data_without_objects(own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_data / "annotations.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    assert main(["finetune", str(own_data), "--dry-run", "--output", str(tmp_path / "out")]) == 1
    assert "no object in its 10 training images" in capsys.readouterr().err
