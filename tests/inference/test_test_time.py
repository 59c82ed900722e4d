"""The mirror image and several scales: what they change, and for whom they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from centernet import Detector


@pytest.fixture
def image() -> Any:
    coarse = torch.rand(1, 3, 6, 8)
    fine = torch.nn.functional.interpolate(coarse, (96, 128), mode="bicubic").clamp(0, 1)
    return (255 * fine[0]).permute(1, 2, 0).to(torch.uint8).numpy()


def test_with_the_mirror_image_left_and_right_are_the_same(model: Any, image: Any) -> None:
    detector = Detector(model, score_threshold=0.0, num_detections=20, flip=True)
    found, mirrored = detector(image), detector(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_allclose(found.scores, mirrored.scores, atol=1e-4)
    plain = Detector(model, score_threshold=0.0, num_detections=20)(image)
    assert np.abs(plain.scores - found.scores).max() > 1e-5


def test_scales_are_merged_into_one_answer(model: Any, image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = replace(model.preprocessing, resize="keep_res")
    monkeypatch.setattr(model.network, "preprocessing", kept)
    options = {"score_threshold": 0.0, "num_detections": 30}
    one = Detector(model, **options)(image)
    found = Detector(model, scales=(1.0, 0.75, 1.25), **options)(image)
    assert len(found) == len(one) == 30 and (np.diff(found.scores) <= 0).all()
    assert found.scores[0] >= one.scores[0]
    assert (found.bboxes >= 0).all() and (found.bboxes <= [128, 96, 128, 96]).all()


def test_soft_suppression_lowers_what_overlaps_at_one_scale_too(model: Any, image: Any) -> None:
    options = {"score_threshold": 0.0, "num_detections": 30}
    plain, soft = Detector(model, **options)(image), Detector(model, soft_nms=True, **options)(image)
    assert len(soft) == len(plain) == 30 and soft.scores[0] == plain.scores[0]
    assert (soft.scores <= plain.scores).all() and soft.scores[-1] < plain.scores[-1]
    with pytest.raises(ValueError, match="tile: expected False with soft_nms"):
        Detector(model, soft_nms=True, tile=True)


def test_what_cannot_be_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match=r"preprocessing\.scale"):
        Detector(model, scales=(1.0, 2.0))
    with pytest.raises(ValueError, match="scales: expected at least one"):
        Detector(model, scales=())
    with pytest.raises(ValueError, match="tile: expected False"):
        Detector(model, scales=(1.0, 2.0), tile=True)
