"""The calibration of a model: fitted by validations, in checkpoints, folders and exported files, and forgotten when
weights change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

from centernet import CenterNet, Detector, build_centernet
from centernet.calibration import Calibration
from centernet.cli import fit
from centernet.cli.main import main
from centernet.data import COCO, DataModule
from centernet.evaluation import CocoEvaluator
from centernet.evaluation.reliability import calibration_error, judged
from centernet.export import ExportOptions, export
from centernet.inference import validation
from centernet.inference.model_metadata import ModelMetadata
from centernet.network import load_network

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
]

FITTED = Calibration(0.5, 1.25, score_threshold=0.4, class_thresholds={"disc": 0.7})


def guesses(config: dict[str, Any], **section: Any) -> CenterNet:
    """A network that says the same of every image: 100 boxes of 12 pixels, sure of each to another degree."""
    model = build_centernet({"model": {**config["model"], "preprocessing": {"size": [256, 256]}, **section}})
    heatmap, box = torch.full((1, 3, 64, 64), -12.0), torch.zeros(1, 4, 64, 64)
    for i, logit in enumerate(np.linspace(-2.5, 1.0, 100)):
        heatmap[0, i % 3, 4 * (i // 16) + 1, 4 * (i % 16) + 1] = float(logit)
    box[:] = float(np.log(np.expm1(6 / 16)))  # six pixels to each side

    def forward(images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: x.expand(len(images), -1, -1, -1) for name, x in {"heatmap": heatmap, "box": box}.items()}

    model.forward = model.network.forward = forward  # type: ignore[assignment, method-assign]
    return model.eval()


def truths(folder: Path, seed: int, images: int = 40) -> COCO:
    """Images in which these boxes are right with the probability ``sigmoid(2 · logit + .5)``."""
    random, annotations = np.random.default_rng(seed), []
    for image_id in range(1, images + 1):
        Image.new("RGB", (256, 256)).save(folder / f"{image_id}.png")
        for i, logit in enumerate(np.linspace(-2.5, 1.0, 100)):
            if random.random() < 1 / (1 + np.exp(-2 * logit - 0.5)):
                box = [16 * (i % 16), 16 * (i // 16), 12, 12]
                kind = {"image_id": image_id, "category_id": i % 3 + 1, "iscrowd": 0, "area": 144}
                annotations.append({"id": len(annotations) + 1, "bbox": box, **kind})
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 256, "width": 256} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate("abc")],
    }
    (folder / f"{seed}.json").write_text(json.dumps(content))
    return COCO(folder / f"{seed}.json", folder)


def error(model: CenterNet, dataset: COCO) -> float:
    evaluator = CocoEvaluator(dataset.class_names)
    found = Detector(model, score_threshold=0).stream([dataset.path(i) for i in range(len(dataset))])
    for i, (_, detections) in enumerate(found):
        evaluator.update(dataset.annotation(i), detections)
    collected, right = judged(evaluator)
    return calibration_error(collected.score, right)


def test_calibrate_fits_scores_that_hold_on_other_images(config: dict[str, Any], tmp_path: Path) -> None:
    model, other = guesses(config, class_names=list("abc")), truths(tmp_path, 1)
    before = error(model, other)
    fitted = model.calibrate(truths(tmp_path, 0))
    assert fitted is not None and fitted == model.calibration == model.network.calibration
    assert fitted.temperature == pytest.approx(0.5, rel=0.1) and fitted.shift == pytest.approx(0.5, abs=0.15)
    assert error(model, other) < 0.03 < 0.08 < before
    assert set(fitted.class_thresholds) == {"a", "b", "c"}
    assert model.calibrate(truths(tmp_path, 0)) == fitted  # of the raw scores, not on top of the first
    assert model.calibrate(truths(tmp_path, 2, images=1)) is None and model.calibration is None


def test_classes_of_other_data_are_refused(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the classes of the data are a, b, c, those of the model x, y, z"):
        guesses(config, class_names=list("xyz")).calibrate(truths(tmp_path, 0, images=1))


def test_thresholds_of_unknown_classes_are_refused(config: dict[str, Any]) -> None:
    section = {**config["model"], "class_names": ["a"], "calibration": {"class_thresholds": {"b": 0.3}}}
    with pytest.raises(ValueError, match=r"model\.calibration\.class_thresholds: 'b' is none of model\.class_names"):
        build_centernet({"model": {name: value for name, value in section.items() if name != "num_classes"}})


def test_a_tracker_with_scores_of_its_own_keeps_them(config: dict[str, Any], tmp_path: Path) -> None:
    """Its thresholds were chosen for the raw scores."""
    fitted = guesses(config, class_names=list("abc"), tracker={"high_score": 0.5}).calibrate(truths(tmp_path, 0))
    assert fitted is not None and (fitted.temperature, fitted.shift) == (1, 0) and fitted.score_threshold != 0.3


def test_validation_outside_of_a_training_leaves_the_model_as_it_is(config: dict[str, Any], tmp_path: Path) -> None:
    model = guesses(config, class_names=list("abc"))
    data = DataModule(val=truths(tmp_path, 0), preprocessing=model.preprocessing, batch_size=4, num_workers=0)
    off = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(accelerator="cpu", **off)  # type: ignore[arg-type]
    trainer.validate(model, data, verbose=False)
    assert model.calibration is None and model.evaluation is not None
    figures = model.evaluation.stats["AP"]
    model.calibrating = True
    trainer.validate(model, data, verbose=False)
    assert model.calibration is not None
    model.calibrating = False
    trainer.validate(model, data, verbose=False)
    assert model.evaluation.stats["AP"] == pytest.approx(figures, abs=1e-4)  # but for ties


@pytest.fixture
def trained(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of a training in which each validation fitted the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(validation, "fit_calibration", lambda *_, **__: FITTED)
    run = fit.run(["--config", tiny(trainer__max_epochs=1), "--output", str(tmp_path / "runs")], "fit")
    return Path(run.checkpoint)


def test_it_travels_with_the_model(trained: Path, tmp_path: Path) -> None:
    network = load_network(trained)
    assert network.calibration == FITTED
    model = CenterNet.load_from_checkpoint(trained)
    model.save_pretrained(tmp_path / "saved")
    assert load_network(tmp_path / "saved").calibration == FITTED
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    calibrated = Detector(model, score_threshold=0)(image).scores
    model.calibration = None
    raw = Detector(model, score_threshold=0)(image).scores
    np.testing.assert_allclose(calibrated, FITTED(raw), rtol=1e-5)
    assert not np.allclose(calibrated, raw)

    path = export(network, tmp_path / "model.pt", ExportOptions())
    detector = Detector(path)
    np.testing.assert_allclose(Detector(path, score_threshold=0)(image).scores, calibrated, rtol=1e-3, atol=1e-6)
    others = {name: 0.4 for name in detector.class_names if name != "disc"}
    assert detector.score_threshold == {"disc": 0.7, **others} == Detector(trained).score_threshold
    assert detector.tracker == {"high_score": 0.4, "new_score": 0.7, "low_score": 0.0667}
    chosen: Any = Detector(export(network, tmp_path / "chosen.pt", ExportOptions(score_threshold=0.6))).runtime
    metadata: ModelMetadata = chosen.metadata
    assert metadata.score_threshold == 0.6 == Detector(tmp_path / "chosen.pt").score_threshold
    assert metadata.calibration == FITTED


def test_a_training_forgets_it_with_the_first_step(trained: Path, tiny: Any, tmp_path: Path) -> None:
    """Also one that goes on: its last validation fits it anew, on raw scores."""
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            seen.append(module.network.calibration)

    run = fit.Run(["--config", tiny(trainer__max_epochs=2), "--ckpt_path", str(trained)], "fit")
    assert run.model.calibration == FITTED
    run.trainer.callbacks.append(Watch())  # type: ignore[attr-defined]
    run.fit()
    assert set(seen) == {None} and run.model.calibration == FITTED
    assert load_network(run.checkpoint).calibration == FITTED


def test_validate_writes_a_calibrated_model(
    trained: Path, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Calibration(0.8, 0.5, score_threshold=0.2)
    monkeypatch.setattr(validation, "fit_calibration", lambda *_, **__: other)
    command = ["validate", "--config", tiny(), "--ckpt_path", str(trained), "--calibrate", str(tmp_path / "calibrated")]
    assert main(command) == 0
    assert load_network(tmp_path / "calibrated").calibration == other
    assert f"calibrated model: {tmp_path / 'calibrated'}" in capsys.readouterr().out
    monkeypatch.setattr(validation, "fit_calibration", lambda *_, **__: None)
    assert main([*command[:-1], str(tmp_path / "none")]) == 1
    assert "--calibrate: nothing was written: too few detections" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
