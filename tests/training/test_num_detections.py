"""Detections an image: chosen from the data, and the same in validation, `Detector`, folders and exported files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from centernet import CenterNet, Detector, build_centernet
from centernet.annotations.problems import DataWarning
from centernet.cli import fit
from centernet.data import COCO, DataModule
from centernet.export import ExportOptions, export
from centernet.network import load_network

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
]

SIDE, STEP = 256, 16


def write(folder: Path, name: str, counts: list[int], ignored: int = 0) -> Path:
    """Write COCO's annotations of images with so many objects, of three classes in turn, on a grid."""
    images, annotations = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, count in enumerate(counts, start=1):
        file = f"{name}_{number}.png"
        Image.new("RGB", (SIDE, SIDE), (90, 90, 90)).save(folder / "images" / file)
        images.append({"id": number, "file_name": file, "height": SIDE, "width": SIDE})
        for i in range(count + ignored):
            row, column = divmod(i, SIDE // STEP)
            box = [STEP * column + 2, STEP * row + 2, 12, 12]
            kind = {"image_id": number, "category_id": i % 3 + 1, "iscrowd": int(i >= count)}
            annotations.append({"id": len(annotations) + 1, "bbox": box, "area": 144, **kind})
    categories = [{"id": i + 1, "name": kind} for i, kind in enumerate("abc")]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.json"


def trainer() -> pl.Trainer:
    off = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return pl.Trainer(accelerator="cpu", **off)  # type: ignore[arg-type]


def module(path: Path, model: CenterNet) -> DataModule:
    return DataModule(val=COCO(path), preprocessing=model.preprocessing, batch_size=1, num_workers=0)


def perfect(config: dict[str, Any], objects: int, **model_section: Any) -> CenterNet:
    """A network that is right about an image of `write`, whatever it sees."""
    section = {**config["model"], "class_names": list("abc"), "preprocessing": {"size": [SIDE, SIDE]}, **model_section}
    model = build_centernet({"model": section})
    heatmap, box = torch.full((1, 3, SIDE // 4, SIDE // 4), -12.0), torch.zeros(1, 4, SIDE // 4, SIDE // 4)
    for i in range(objects):
        row, column = divmod(i, SIDE // STEP)
        y, x = (STEP * row + 8) // 4, (STEP * column + 8) // 4
        heatmap[0, i % 3, y, x] = 6.0 - 0.001 * i
        for side, centre in enumerate((x, y, x, y)):  # left, top, right, bottom of the middle of the cell
            start = STEP * (column if side % 2 == 0 else row) + 2
            middle = 4 * centre + 2
            distance = middle - start if side < 2 else start + 12 - middle
            box[0, side, y, x] = math.log(math.expm1(distance / 16))
    model.forward = lambda images: {"heatmap": heatmap, "box": box}  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize("objects", [60, 130, 180])
def test_a_perfect_network_is_perfect_on_dense_images(config: dict[str, Any], tmp_path: Path, objects: int) -> None:
    model = perfect(config, objects)
    trainer().validate(model, module(write(tmp_path, "val", [objects]), model), verbose=False)
    assert model.evaluation is not None and model.evaluation.stats["AP"] == pytest.approx(1)
    assert model.num_detections == {60: 100, 130: 150, 180: 200}[objects]


def test_a_given_value_stays_and_too_few_are_a_warning(config: dict[str, Any], tmp_path: Path) -> None:
    model = perfect(config, 130, num_detections=110)
    data = module(write(tmp_path, "val", [130, 20]), model)
    with pytest.warns(DataWarning, match=r"data\.val: 1 of 2 images hold more objects than the 110 .* up to 130"):
        trainer().validate(model, data, verbose=False)
    assert model.num_detections == 110
    assert model.evaluation is not None and model.evaluation.detections == 2 * 110


def test_regions_to_ignore_need_no_detections(config: dict[str, Any], tmp_path: Path) -> None:
    model = perfect(config, 90)
    trainer().validate(model, module(write(tmp_path, "val", [90], ignored=60), model), verbose=False)
    assert model.num_detections == 100


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was trained on images with up to 160 objects and validated on others with up to 130."""
    folder = tmp_path_factory.mktemp("dense")
    data = {
        split: {"class_path": "COCO", "init_args": {"annotations": str(write(folder, split, counts))}}
        for split, counts in (("train", [3, 160, 2, 1]), ("val", [130, 4]))
    }
    model = {
        "num_classes": 3,
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
        "neck": {"class_path": "FPN", "init_args": {"width": 16}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 16}},
        },
        "preprocessing": {"size": [64, 64]},
    }
    content = {
        "model": model,
        "data": {**data, "batch_size": 2, "num_workers": 0},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "precision": "32-true", "num_sanity_val_steps": 0},
    }
    (folder / "dense.yaml").write_text(yaml.safe_dump(content))
    run = fit.run(["--config", str(folder / "dense.yaml"), "--output", str(folder / "runs")], "fit")
    assert run.model.num_detections == 200
    return folder / "runs/dense/version_0/checkpoints/last.ckpt"


def test_it_travels_with_the_model(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    model = CenterNet.load_from_checkpoint(trained)
    folder = model.save_pretrained(tmp_path / "model")
    script = export(model.network, tmp_path / "model.pt", ExportOptions())
    for source in (trained, folder, script, model, model.network):
        detector = Detector(source, score_threshold=0)
        assert detector.num_detections == 200 and 20 < len(detector(image)) <= 200  # rows without objects are left out
    assert model.inference_detection([image])["scores"].shape == (1, 200)
    assert len(model.decode_detections(model(torch.zeros(1, 3, 64, 64)))["scores"][0]) == 200
    assert len(Detector(trained, score_threshold=0, num_detections=7)(image)) == 7
    fewer = export(model.network, tmp_path / "fewer.pt", ExportOptions(num_detections=30))
    assert Detector(fewer).num_detections == 30
    Detector(trained, num_detections=250)  # a network gives as many as one likes, without a warning


def test_it_was_said(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from centernet.cli.main import main

    config, output = trained.parents[4] / "dense.yaml", str(tmp_path)
    assert main(["fit", "--config", str(config), "--output", output]) == 0
    assert "detections an image: 200; the densest image of the data has 160 objects" in capsys.readouterr().out


def test_old_checkpoints_mean_100(trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained, weights_only=True)
    assert checkpoint["hyper_parameters"].pop("num_detections") == 200
    torch.save(checkpoint, tmp_path / "old.ckpt")
    assert load_network(tmp_path / "old.ckpt").num_detections == 100
    assert Detector(tmp_path / "old.ckpt").num_detections == 100
    arguments = ["--config", str(trained.parents[4] / "dense.yaml"), "--output", str(tmp_path)]
    with pytest.warns(DataWarning, match="1 of 2 images hold more objects than the 100"):
        run = fit.run([*arguments, "--ckpt_path", str(tmp_path / "old.ckpt")], "validate")
    assert run.model.num_detections == 100


def test_the_packaged_model_and_one_without_a_value_give_100() -> None:
    assert Detector("voc-lite").num_detections == 100


@pytest.mark.parametrize("value", [0, -5])
def test_no_detections_are_an_error(config: dict[str, Any], value: int) -> None:
    with pytest.raises(ValueError, match="num_detections: expected 1 to 100000"):
        build_centernet(config, overrides=[f"model.num_detections={value}"])
