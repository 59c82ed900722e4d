"""What is best, when a run stops, and runs in which there is nothing to learn or to evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from centernet.cli import fit
from centernet.cli.main import main
from centernet.training.monitoring import is_less_better

from .test_tracking import EMBEDDING, VIDEOS, perfect

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*last weights.*"),
    pytest.mark.filterwarnings("ignore:.*images are used.*"),
    pytest.mark.filterwarnings("ignore:.*images of data.val are also in data.train.*"),
]


def coco(folder: Path, images: list[list[list[float]]], *, names: tuple[str, ...] = ("cat",), **fields: Any) -> Path:
    """Write a COCO file with the boxes of each image, of classes in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    for i, boxes in enumerate(images):
        file = f"{i}.png"
        cv2.imwrite(str(folder / file), np.full((64, 64, 3), 40 * i % 255, np.uint8))
        content["images"].append({"id": i + 1, "file_name": file, "width": 64, "height": 64})
        for box in boxes:
            number = len(content["annotations"])
            row = {"id": number + 1, "image_id": i + 1, "category_id": number % len(names) + 1, "bbox": box}
            content["annotations"].append(row | {"area": box[2] * box[3], "iscrowd": 0} | fields)
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def section(path: Path) -> dict[str, Any]:
    return {"class_path": "COCO", "init_args": {"annotations": str(path)}}


def fitted(config: str, output: Path, *options: str) -> int:
    return main(["fit", "--config", config, "--output", str(output), *options])


# --------------------------------------------------------------------------------------------- nothing to learn


@pytest.mark.parametrize(("boxes", "fields"), [([], {}), ([[4, 4, 20, 20]], {"iscrowd": 1}), ([], {"iscrowd": 1})])
@pytest.mark.parametrize("number", [1, 3])
def test_no_object_to_learn_ends_before_the_first_step(
    tiny: Any, tmp_path: Path, boxes: Any, fields: Any, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = section(coco(tmp_path / "data", [boxes] * number, **fields))
    config = tiny(data__train=data, model__num_classes=1, data__val=data)
    assert fitted(config, tmp_path / "runs") == 1
    said = capsys.readouterr()
    assert "nothing to learn" in said.err and "epoch" not in said.out
    assert not list((tmp_path / "runs").rglob("*.ckpt"))


def assert_last_is_the_result(said: str, output: Path) -> None:
    assert "the last weights are the result" in said
    assert "detections" not in said.split("the last weights are the result")[0].rsplit("epoch", 1)[-1]  # no table
    assert said.strip().splitlines()[-1] == f"checkpoint: {next(output.rglob('last.ckpt'))}"
    assert not list(output.rglob("best.ckpt"))


@pytest.mark.parametrize(
    "changes",
    [
        {"trainer__check_val_every_n_epoch": 5},
        {"trainer__limit_val_batches": 0},
        {"trainer__max_epochs": 4, "trainer__max_steps": 3, "trainer__check_val_every_n_epoch": 2},
        {"data__val": None},
    ],
)
def test_without_a_validation_the_last_weights_are_the_result(
    tiny: Any, tmp_path: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of the sanity check, of some images before training, is not shown as if it were the result."""
    assert fitted(tiny(trainer__num_sanity_val_steps=2, **changes), tmp_path) == 0
    assert_last_is_the_result(capsys.readouterr().out, tmp_path)


@pytest.mark.parametrize("boxes", [[], [[4, 4, 20, 20]]])
def test_without_an_object_in_validation_the_last_weights_are_the_result(
    tiny: Any, tmp_path: Path, boxes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    train = section(coco(tmp_path / "train", [[[8, 8, 30, 30]]] * 2))
    val = section(coco(tmp_path / "val", [boxes] * 2, iscrowd=1))
    config = tiny(data__train=train, data__val=val, model__num_classes=1)
    assert fitted(config, tmp_path / "runs") == 0
    assert_last_is_the_result(capsys.readouterr().out, tmp_path / "runs")
    assert fitted(config, tmp_path / "runs", "--patience", "2") == 1
    assert "--patience" in capsys.readouterr().err
    last = next((tmp_path / "runs").rglob("last.ckpt"))
    given = ["--config", config, "--output", str(tmp_path / "runs"), "--ckpt_path", str(last)]
    assert main(["validate", *given]) == 1
    assert "has an object" in capsys.readouterr().err
    assert main(["validate", *given, "--split", "test"]) == 1
    assert "data.test is not given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "names"),
    [
        ([[[8, 8, 30, 30]]], ("cat",)),
        ([[[8, 8, 30, 30]], [[2, 2, 50, 50]]], ("cat", "dog")),
        ([[[8, 8, 30, 30]] * 3], tuple(f"class {i}" for i in range(300))),
        ([[[i % 50, i % 40, 8, 8] for i in range(1500)]], ("cat", "dog")),
    ],
)
def test_one_image_many_classes_and_many_boxes_train(
    tiny: Any, tmp_path: Path, images: Any, names: tuple[str, ...]
) -> None:
    data = section(coco(tmp_path / "data", images, names=names))
    config = tiny(data__train=data, data__val=data, model__num_classes=len(names), trainer__max_epochs=1)
    assert fitted(config, tmp_path / "runs") == 0


# ------------------------------------------------------------------------------------------------- what is best


@pytest.mark.parametrize(
    ("name", "less"), [("val/loss", True), ("val/IDSW", True), ("val/CrowdHuman/MR-2", True), ("val/AP50", False)]
)
def test_which_value_is_best(name: str, less: bool) -> None:
    assert is_less_better(name) == less


def monitors(output: Path) -> dict[str, Any]:
    state = torch.load(next(output.rglob("last.ckpt")), weights_only=True)["callbacks"]
    return {value["monitor"]: value for value in state.values() if isinstance(value, dict) and value.get("monitor")}


@pytest.mark.parametrize(
    ("option", "monitor"),
    [([], "val/AP"), (["--monitor", "AP50"], "val/AP50"), (["--monitor", "val/loss"], "val/loss")],
)
def test_the_best_of_a_detector(
    tiny: Any, tmp_path: Path, option: list[str], monitor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(tiny(trainer__max_epochs=1), tmp_path, *option) == 0
    assert f"best {monitor} " in capsys.readouterr().out
    assert list(monitors(tmp_path)) == [monitor]


@pytest.mark.parametrize(
    ("changes", "monitor"),
    [
        ({"model__heads__embedding": EMBEDDING}, "val/HOTA"),
        ({"model__tracker": {"preset": "sort"}}, "val/HOTA"),
        ({}, "val/AP"),
    ],
)
def test_the_best_of_a_tracker(
    tiny: Any, tmp_path: Path, changes: dict[str, Any], monitor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    perfect(monkeypatch)
    videos = {**VIDEOS, "init_args": VIDEOS["init_args"] | {"seed": 1}}
    config = tiny(data__train=VIDEOS, data__val=videos, model__num_classes=1, trainer__max_epochs=1, **changes)
    assert fitted(config, tmp_path) == 0
    assert list(monitors(tmp_path)) == [monitor]


@pytest.mark.parametrize("name", ["AP55", "val/HOTA", "los"])
def test_an_unknown_figure_ends_before_the_first_step(
    tiny: Any, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(tiny(), tmp_path, "--monitor", name) == 1
    said = capsys.readouterr()
    assert f"--monitor {name}" in said.err and "AP50" in said.err and "epoch" not in said.out


def test_patience_ends_a_run_that_no_longer_gains(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(trainer__max_epochs=9, optimization={"lr": 1e-12}, trainer__limit_train_batches=1, ema_decay=0.0)
    assert fitted(config, tmp_path, "--patience", "2", "--monitor", "AP") == 0
    said = capsys.readouterr().out
    assert "stopped after epoch 3: 2 validations without a better val/AP" in said and "epoch 4/9" not in said


def test_every_option_is_in_the_saved_configuration(tiny: Any, tmp_path: Path) -> None:
    run = fit.run(["--config", tiny(trainer__max_epochs=1), "--output", str(tmp_path), "--monitor", "AP50"], "fit")
    assert run.config.monitor == "AP50" and run.monitor == "val/AP50"
    assert run.checkpoint.endswith("best.ckpt")
