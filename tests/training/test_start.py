"""Beginning with the weights of another model."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from centernet import build_centernet
from centernet.training import start_from

SMALL: dict[str, Any] = {
    "model": {
        "class_names": ["cat", "dog", "bird"],
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
        "neck": {"class_path": "FPN", "init_args": {"width": 16}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 16}},
        },
        "preprocessing": {"size": [64, 64]},
    }
}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    model = build_centernet(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.save_pretrained(tmp_path / "trained")


def test_what_fits_is_taken_over_and_classes_go_by_name(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = copy.deepcopy(SMALL)
    config["model"]["class_names"] = ["horse", "bird", "cat"]
    config["model"]["heads"]["embedding"] = {"class_path": "EmbeddingHead", "init_args": {"width": 16, "dim": 8}}
    model, fresh = build_centernet(config), build_centernet(SMALL)
    model.heads["embedding"].set_identities(5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with caplog.at_level(logging.INFO, logger="centernet"):
        anew = start_from(model.network, trained)
    given, now = type(fresh).from_pretrained(trained).state_dict(), model.state_dict()
    for name in ("backbone.conv1.weight", "heads.box.layers.2.bias", "heads.heatmap.layers.0.weight"):
        assert torch.equal(now[name], given[name])
    for part in ("weight", "bias"):
        name = f"heads.heatmap.layers.2.{part}"
        assert name in anew
        assert torch.equal(now[name][1:], given[name][[2, 0]])  # bird, cat
        assert torch.equal(now[name][0], before[name][0])
    for name in now:
        if name.startswith("heads.embedding."):
            assert torch.equal(now[name], before[name])
    assert "classes taken over: cat, bird" in caplog.text
    assert "anew: heads.embedding, heads.heatmap" in caplog.text


def test_the_same_classes_leave_nothing_anew(trained: Path) -> None:
    assert start_from(build_centernet(SMALL).network, trained) == []


def test_another_backbone_is_refused(trained: Path) -> None:
    with pytest.raises(ValueError, match="backbone"):
        start_from(build_centernet(SMALL, overrides=["model.backbone={class_path: MobileNetV2}"]).network, trained)
    with pytest.raises(FileNotFoundError, match="voc-lite"):
        start_from(build_centernet(SMALL).network, "voc-light")


def test_another_normalisation_is_said(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = build_centernet(SMALL, overrides=["model.preprocessing.std=[0.5, 0.5, 0.5]"])
    start_from(other.network, trained)
    assert "model.preprocessing.std is [0.5, 0.5, 0.5]" in caplog.text and "mean" not in caplog.text
