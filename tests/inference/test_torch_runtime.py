"""A torch module as a runtime: what it is fed, where it runs, and that it is left as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from centernet.images import Preprocessing
from centernet.inference import Detector


class Tiny(nn.Module):
    """Looks like a CenterNet: its box is where the normalised input is brightest."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocessing = Preprocessing((64, 96), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        self.class_names: tuple[str, ...] | None = ("one", "two")
        self.layer = nn.Conv2d(3, 1, 1)
        self.frozen = nn.BatchNorm2d(1)
        nn.init.constant_(self.layer.weight, 1 / 3)
        nn.init.zeros_(self.layer.bias)
        self.seen: list[Any] = []

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append((images.dtype, tuple(images.shape), self.training, torch.is_inference_mode_enabled()))
        return (images.float() / 255 - 0.5) / 0.5

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"map": self.frozen(self.layer(images))}

    def decode_detections(self, encoded: dict[str, torch.Tensor], num_detections: int = 100) -> dict[str, torch.Tensor]:
        maps = encoded["map"]
        n, k = len(maps), num_detections
        bboxes = torch.zeros(n, k, 4)
        for i in range(n):
            rows, columns = torch.nonzero(maps[i, 0] > 0, as_tuple=True)
            bboxes[i, 0] = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        scores = torch.zeros(n, k, dtype=torch.float16)
        scores[:, 0] = 0.75
        return {"bboxes": bboxes, "labels": torch.ones(n, k, dtype=torch.int64), "scores": scores}


def scene(box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((128, 192, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image


def test_boxes_come_back_in_original_pixels() -> None:
    model = Tiny()
    found = Detector(model)([scene((20, 30, 80, 90)), scene((100, 0, 192, 128))])
    np.testing.assert_allclose([one.bboxes[0] for one in found], [(20, 30, 80, 90), (100, 0, 192, 128)], atol=1)
    assert found[0].names == ["two"] and found[0].scores[0] == 0.75
    assert model.seen == [(torch.uint8, (2, 3, 64, 96), False, True)]


def test_each_part_gets_its_mode_back_after_an_error_too() -> None:
    model = Tiny().train()
    model.frozen.eval()
    detector = Detector(model)
    detector(scene((20, 30, 80, 90)))
    assert model.training and model.layer.training and not model.frozen.training
    with pytest.raises(RuntimeError):  # nothing is bright: the stand-in has no maximum
        detector(np.zeros((128, 192, 3), np.uint8))
    assert model.training and model.layer.training and not model.frozen.training
    assert not model.frozen.weight.is_inference() and torch.equal(model.frozen.running_mean, torch.zeros(1))


def test_a_model_without_class_names_gives_numbers() -> None:
    model = Tiny()
    model.class_names = None
    assert Detector(model)(scene((20, 30, 80, 90))).names == ["1"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_gpu_answers_alike() -> None:
    model = Tiny()
    here = Detector(model)(scene((20, 30, 80, 90)))
    there = Detector(model, device="cuda")(scene((20, 30, 80, 90)))
    np.testing.assert_array_equal(here.bboxes, there.bboxes)
