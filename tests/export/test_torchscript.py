"""TorchScript files: any size, loaded without this package, and no notices for the user."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from centernet import CenterNet
from centernet.export.comparison import difference, trial_images
from centernet.inference.model_metadata import ModelMetadata

quiet = pytest.mark.filterwarnings("ignore:.*torch.jit.*:")  # of loading, which the test does itself


def test_exporting_gives_no_notices(model: CenterNet, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.to_torchscript(tmp_path / "model.pt", num_detections=10)


@quiet
@pytest.mark.parametrize("size", [(1, 96, 128), (3, 61, 70), (2, 160, 50)])
def test_the_file_finds_what_the_model_finds(model: CenterNet, tmp_path: Path, size: tuple[int, int, int]) -> None:
    model.to_torchscript(tmp_path / "model.pt", torch.rand(1, 3, 64, 64), num_detections=20)
    extra = {"centernet.json": ""}
    loaded = torch.jit.load(tmp_path / "model.pt", _extra_files=extra)
    metadata = ModelMetadata.from_json(
        extra["centernet.json"].decode() if isinstance(extra["centernet.json"], bytes) else extra["centernet.json"],
        source="model.pt",
    )
    assert metadata.dtype == "float32" and metadata.layout == "NCHW"
    images = torch.randn(size[0], 3, *size[1:])
    with torch.inference_mode():
        got = {name: value.numpy() for name, value in zip(metadata.outputs, loaded(images), strict=True)}
        eager = {name: value.numpy() for name, value in model.decode_detections(model(images), 20).items()}
    eager["bboxes"] = eager["bboxes"].clip(0, [size[2], size[1]] * 2)  # boxes of a file end where the images do
    found = difference(eager, got)
    assert found.scores < 1e-4 and found.boxes < 0.05 and not found.unmatched


@quiet
def test_more_rows_are_asked_for_than_a_small_map_has_lines(model: CenterNet) -> None:
    """What the sample's map had enough of, another size may lack."""
    traced = model.to_torchscript(None, torch.rand(1, 3, 256, 256), num_detections=100)
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        boxes, labels, scores = traced(images)
        eager = model.decode_detections(model(images), 100)
    inside = eager["bboxes"].clamp(min=0).minimum(torch.tensor([96.0, 64, 96, 64]))
    lines = model.num_classes * 64 // model.stride
    assert lines < scores.shape[1] == 100
    torch.testing.assert_close(scores, eager["scores"], atol=1e-4, rtol=0)
    torch.testing.assert_close(boxes[scores > 0.01], inside[scores > 0.01], atol=0.05, rtol=0)
    assert (labels == eager["labels"])[scores > 0.01].all()


@quiet
@pytest.mark.parametrize("size_hw", [(61, 70), (133, 101), (500, 390)])
def test_the_letterbox_takes_images_of_any_size(model: CenterNet, size_hw: tuple[int, int]) -> None:
    traced = model.to_torchscript(letterbox=True, num_detections=20)
    image = trial_images(1, size_hw)
    boxes, _, scores = traced(image)
    height, width = size_hw
    assert (boxes >= 0).all() and (boxes <= torch.tensor([width, height, width, height])).all()
    assert (scores.diff() <= 0).all()


def test_folded_norms_change_nothing_and_are_gone(model: CenterNet) -> None:
    from centernet.export.graph import detached, fold_batch_norms

    twin = detached(model.network)
    fold_batch_norms(twin)
    assert not [module for module in twin.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        for name, raw in model(images).items():
            torch.testing.assert_close(twin(images)[name], raw, atol=1e-4, rtol=1e-4)


def test_integers_are_refused(model: CenterNet) -> None:
    with pytest.raises(ValueError, match="precision 'int8': torchscript is exported in float32, float16, bfloat16"):
        model.to_torchscript(precision="int8")
