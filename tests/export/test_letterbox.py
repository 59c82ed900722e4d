"""The letterbox of graphs against `Preprocessing`, which is the one that models are evaluated with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from centernet.export.letterbox import Letterbox, picture_size
from centernet.images import Preprocessing


def unreduced(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    assert images.shape[1:3] == (int(rows), int(columns)), "sides that keep half their length are not reduced before"
    return images


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_pixels_and_boxes_are_those_of_the_preprocessing(resize: str) -> None:
    rng = np.random.default_rng(0)
    tried = different = values = 0
    while tried < 40:
        preprocessing = Preprocessing(size=tuple(rng.integers(40, 300, 2).tolist()), resize=resize)  # type: ignore[arg-type]
        height, width = rng.integers(30, 400, 2).tolist()
        matrix = preprocessing.matrix((height, width))
        if min(matrix[0, 0], matrix[1, 1]) <= 0.5:
            continue
        tried += 1
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels, scale, shift = Letterbox(preprocessing, unreduced)(torch.from_numpy(image)[None])
        expected = preprocessing(image)
        assert pixels.shape == (1, *expected.shape)
        difference = np.abs(pixels[0].numpy() - expected)
        assert difference.max() <= 1
        different, values = different + int((difference > 0).sum()), values + difference.size
        np.testing.assert_allclose(scale, np.tile([matrix[0, 0], matrix[1, 1]], 2), rtol=1e-12)
        np.testing.assert_allclose(shift, np.tile(matrix[:, 2], 2), rtol=1e-12)
    assert different / values < 1e-4


def test_keep_pads_right_and_below() -> None:
    preprocessing = Preprocessing(resize="keep", divisor=32)
    image = np.random.default_rng(0).integers(0, 256, (50, 97, 3), dtype=np.uint8)
    pixels, scale, shift = Letterbox(preprocessing, unreduced)(torch.from_numpy(image)[None])
    np.testing.assert_array_equal(pixels[0].numpy(), preprocessing(image))
    assert scale.tolist() == [1, 1, 1, 1] and shift.tolist() == [0, 0, 0, 0]


def test_the_size_is_counted() -> None:
    assert picture_size(torch.zeros(2, 7, 11, 3, dtype=torch.uint8)).tolist() == [7, 11]


def test_a_side_that_shrinks_to_less_than_half_is_reduced_by_a_whole_factor() -> None:
    asked = []

    def reduce(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        asked.append((int(rows), int(columns)))
        return images[:, :: images.shape[1] // int(rows), :: images.shape[2] // int(columns)].contiguous()

    gray = torch.full((1, 400, 1000, 3), 77, dtype=torch.uint8)
    pixels, _, _ = Letterbox(Preprocessing(size=(100, 200)), reduce)(gray)
    assert asked == [(80, 200)]  # 400×1000 becomes 80×200: a fifth
    assert set(pixels[0, 10:90].unique().tolist()) == {77.0} and set(pixels[0, :10].unique().tolist()) == {114.0}
