"""A small detector, built once."""

from __future__ import annotations

from typing import Any

import pytest

from centernet import CenterNet, build_centernet

CONFIG: dict[str, Any] = {
    "model": {
        "class_names": ["cat", "dog", "bird"],
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18"}},
        "neck": {"class_path": "FPN", "init_args": {"width": 32}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 16}},
        },
        "preprocessing": {"size": [96, 128]},
    }
}


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    return CONFIG


@pytest.fixture(scope="session")
def model() -> CenterNet:
    return build_centernet(CONFIG).eval()
