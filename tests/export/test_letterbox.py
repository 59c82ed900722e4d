"""The letterbox of graphs against `Preprocessing`, which is the one that models are evaluated with."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from centernet.detections import Column
from centernet.export import FORMATS, ExportOptions
from centernet.export.graph import Prepared
from centernet.export.letterbox import Letterbox, image_size, shrink
from centernet.images import Preprocessing
from centernet.inference.model_metadata import OUTPUTS, ModelMetadata
from centernet.inference.opening import open_runtime


def compare(preprocessing: Preprocessing, size_hw: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Check one image of noise; return how many values differ (by 1, in a tie of rounding), and how many there are."""
    image = rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    pixels, scale, shift, limits = Letterbox(preprocessing, shrink)(torch.from_numpy(image)[None])
    expected, matrix = preprocessing(image), preprocessing.matrix(size_hw)
    assert pixels.shape == (1, *expected.shape)
    difference = np.abs(pixels[0].numpy() - expected)
    assert difference.max() <= 1
    np.testing.assert_allclose(scale, np.tile([matrix[0, 0], matrix[1, 1]], 2), rtol=1e-6)
    np.testing.assert_allclose(shift, np.tile(matrix[:, 2], 2), rtol=1e-6)
    assert limits.tolist() == [size_hw[1], size_hw[0]] * 2
    return int((difference > 0).sum()), difference.size


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("sides", [(30, 400), (400, 1500)])
def test_pixels_and_boxes_are_those_of_the_preprocessing(resize: str, sides: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(30):
        preprocessing = Preprocessing(size=tuple(rng.integers(40, 300, 2).tolist()), resize=resize)  # type: ignore[arg-type]
        height, width = rng.integers(*sides, 2).tolist()
        counts.append(compare(preprocessing, (height, width), rng))
    different, values = np.sum(counts, axis=0)
    assert different / values < 1e-4


@pytest.mark.parametrize("resize", ["fix_res", "keep_res", "tensorflow"])
def test_published_rules(resize: str) -> None:
    """On a smooth image: OpenCV 4 places pixels of a warp by 1/32, OpenCV 5 and the graph do not."""
    y, x = np.mgrid[0:150, 0:333]
    image = np.stack([x * 0.7, y * 1.6, 255 - x * 0.7], axis=-1).astype(np.uint8)
    preprocessing = Preprocessing(size=(96, 128), resize=resize, pad_value=7)  # type: ignore[arg-type]
    pixels, scale, shift, limits = Letterbox(preprocessing, shrink)(torch.from_numpy(image)[None])
    expected, matrix = preprocessing(image), preprocessing.matrix((150, 333))
    assert pixels.shape == (1, *expected.shape)
    assert np.abs(pixels[0].numpy() - expected).max() <= (4 if cv2.__version__.startswith("4.") else 1)
    np.testing.assert_allclose(scale, np.tile([matrix[0, 0], matrix[1, 1]], 2), rtol=1e-5)
    np.testing.assert_allclose(shift, np.tile(matrix[:, 2], 2), rtol=1e-5, atol=1e-4)
    assert limits.tolist() == [333, 150] * 2


@pytest.mark.parametrize("factor", [2, 3, 4, 6, 9])
def test_whole_factors_are_exact(factor: int) -> None:
    """640×480 → 320×240 is the commonest of all."""
    different, _ = compare(Preprocessing(size=(320, 320)), (240 * factor, 320 * factor), np.random.default_rng(factor))
    assert different == 0


def test_areas_are_opencv_s() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1237, 1801, 3), dtype=np.uint8)
    got = shrink(torch.from_numpy(image)[None], torch.tensor([1237, 1801]), torch.tensor([412, 600]))
    expected = cv2.resize(image, (600, 412), interpolation=cv2.INTER_AREA)
    different = got[0].numpy() != expected
    assert different.mean() < 1e-4


class Canvas(torch.nn.Module):
    """Gives its input as a column, in the place of a network."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.backbone, self.neck, self.heads = (torch.nn.Identity() for _ in range(3))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.preprocessing = preprocessing

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        return images.float()

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"canvas": images}

    def decode_detections(self, encoded: dict[str, torch.Tensor], _: int) -> dict[str, torch.Tensor]:
        scores = encoded["canvas"].amax((2, 3))[:, :1]
        return {"bboxes": scores[..., None].expand(-1, -1, 4), "labels": scores.long(), "scores": scores} | encoded


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_the_operators_of_onnx_do_the_same(format: str, tmp_path: Path) -> None:
    """Sizes that shrink by whole factors, by others, along one side alone, and not at all, which comes first, too."""
    for package in FORMATS[format].packages:
        pytest.importorskip(package)
    preprocessing, path = Preprocessing(size=(96, 128)), tmp_path / f"letterbox{FORMATS[format].suffix}"
    column = Column("canvas", "vector", (96, 128))
    metadata = ModelMetadata(
        preprocessing=preprocessing, letterbox=True, outputs=(*OUTPUTS, "canvas"), columns=(column,)
    )
    network: Any = Canvas(preprocessing).eval()
    sample = torch.zeros(2, 96, 128, 3, dtype=torch.uint8)
    writer = import_module(f"centernet.export.{FORMATS[format].module}")
    writer.write(Prepared(network, metadata, sample, ExportOptions(letterbox=True)), path)
    runtime: Any = open_runtime(path)
    rng = np.random.default_rng(0)
    for size in ((90, 100), (192, 256), (384, 420), (288, 384), (301, 517), (190, 127), (640, 427), (96, 128)):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        canvas = runtime(image[None], 3)["canvas"][0].transpose(1, 2, 0)
        difference = np.abs(canvas - preprocessing(image))
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-3, size


def test_keep_pads_right_and_below() -> None:
    preprocessing = Preprocessing(resize="keep", divisor=32)
    image = np.random.default_rng(0).integers(0, 256, (50, 97, 3), dtype=np.uint8)
    pixels, scale, shift, limits = Letterbox(preprocessing, shrink)(torch.from_numpy(image)[None])
    np.testing.assert_array_equal(pixels[0].numpy(), preprocessing(image))
    assert scale.tolist() == [1, 1, 1, 1] and shift.tolist() == [0, 0, 0, 0]
    assert limits.tolist() == [97, 50, 97, 50]


def test_the_size_is_counted() -> None:
    assert image_size(torch.zeros(2, 7, 11, 3, dtype=torch.uint8)).tolist() == [7, 11]
