"""A small detector with two classes, and the files that were made of it, each once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from centernet import CenterNet, build_centernet

CONFIG: dict[str, Any] = {
    "model": {
        "class_names": ["cat", "dog"],
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
        "neck": {"class_path": "FPN", "init_args": {"width": 16}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 16}},
        },
        "preprocessing": {"size": [96, 128]},
    }
}


@pytest.fixture(scope="session")
def model() -> CenterNet:
    """Weights that are random, but tell one place from another: scores differ, so that their order is no chance."""
    import torch

    torch.manual_seed(0)
    model = build_centernet(CONFIG).eval()
    with torch.no_grad():
        model.heads["heatmap"].layers[-1].weight.normal_(std=0.3)
    return model


@pytest.fixture(scope="session")
def exported(model: CenterNet, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A file of the detector with 20 rows, by name: `onnx`, `letterbox`, `xml`."""
    folder = tmp_path_factory.mktemp("exported")
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make(name)
        return made[name]

    def make(name: str) -> Path:
        from centernet.export import ExportOptions, export

        path = folder / (f"{name}.onnx" if name != "xml" else "model.xml")
        return export(model.network, path, ExportOptions(num_detections=20, letterbox=name == "letterbox"))

    return get


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six images of different sizes."""
    from PIL import Image

    from centernet.export.comparison import trial_images

    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        image = trial_images(1, (100 + 7 * i, 140 - 5 * i), seed=i)[0].numpy()
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder
