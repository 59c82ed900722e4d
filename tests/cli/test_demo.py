"""The demo's last step; its training takes minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.cli import demo
from centernet.data import SyntheticSequences
from centernet.images import Preprocessing
from centernet.inference import torch_runtime


class FindOne:
    """A disc, always in the same place."""

    preprocessing = Preprocessing((160, 160))
    class_names = ("disc", "square")

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        n = len(images)
        bboxes = np.tile(np.array([40, 40, 80, 80], np.float32), (n, 1, 1))
        return {"bboxes": bboxes, "labels": np.zeros((n, 1), np.int64), "scores": np.full((n, 1), 0.9, np.float32)}


def test_the_demo_ends_with_a_tracked_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_runtime, "load_model", lambda path, **options: FindOne())
    (tmp_path / "best.ckpt").touch()
    clip = demo._track(tmp_path / "best.ckpt", tmp_path)
    capture = cv2.VideoCapture(str(clip))
    frames = 0
    while capture.read()[0]:
        frames += 1
    length = len(SyntheticSequences(1))
    assert clip.parent == tmp_path and frames == length
    rows = (tmp_path / "tracked.txt").read_text().splitlines()
    assert len(rows) == length and {row.split(",")[1] for row in rows} == {"1"}
