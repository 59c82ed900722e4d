"""Fixtures and settings of all tests."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

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
