"""Fixtures and settings of all tests."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

# Set before torch is imported anywhere: the tests run side by side, and threads that fight over cores slow them all.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of sample data sets and reference figures beside the repository; without it the test is skipped."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip(f"needs the folder of sample data at {path}")
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Starts every test from the same random state."""
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")  # not imported for tests that do without
    if torch is not None:
        torch.manual_seed(0)


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
    """The configuration of `model`."""
    return CONFIG


@pytest.fixture(scope="session")
def model() -> Any:
    """A small detector, built once; torch is imported for those who ask for it."""
    from centernet import build_centernet

    return build_centernet(CONFIG).eval()
