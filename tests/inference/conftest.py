"""A runtime without a network: it finds the white rectangle of a black scene, so every box can be checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.images import Preprocessing

Box = tuple[int, int, int, int]


@dataclass
class FindWhite:
    """The box around the white pixels of an input, with score .9 and the label of its brightness; the rest is noise."""

    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing((96, 128)))
    class_names: tuple[str, ...] = ("white", "other")
    most: int = 1000  # a small map has no more to give
    batches: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        assert images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3
        self.batches.append(images.shape)
        n, k = len(images), min(num_detections, self.most)
        bboxes = np.zeros((n, k, 4), np.float32)
        for i, image in enumerate(images):
            rows, columns = np.nonzero((image > 127).all(-1))
            if len(rows):
                bboxes[i, 0] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        scores = np.tile(np.linspace(0.2, 0.0, k, dtype=np.float32), (n, 1))
        scores[:, 0] = np.where(bboxes[:, 0].any(-1), 0.9, 0.2)
        labels = np.ones((n, k), np.int64)
        labels[:, 0] = 0
        return {"bboxes": bboxes, "labels": labels, "scores": scores}


def scene(box: Box, size_hw: tuple[int, int] = (120, 160)) -> np.ndarray:
    """White on black, in whole pixels."""
    image = np.zeros((*size_hw, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


def save_video(path: Path, images: list[np.ndarray]) -> Path:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    return path


BOXES: list[Box] = [(10, 20, 60, 80), (40, 10, 150, 50), (100, 60, 140, 110), (5, 5, 155, 115), (70, 70, 90, 100)]


@pytest.fixture
def runtime() -> FindWhite:
    return FindWhite()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five scenes of different sizes, named so that their order by name is not that of writing, and a text file."""
    for i in (3, 0, 4, 1, 2):
        save(tmp_path / "photos" / f"scene_{i}.png", scene(BOXES[i], (120 + 8 * i, 160 + 10 * i)))
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    return tmp_path / "photos"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return save_video(tmp_path / "clip.avi", [scene((4 * i, 10, 4 * i + 40, 70)) for i in range(20)])
