"""The comparison that every export ends with: it opens the file as its users do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import CenterNet
from centernet.export import FORMATS, ExportOptions, export, exporting
from centernet.export.comparison import PLACE, check_file, difference, trial_images
from centernet.export.graph import prepare
from centernet.inference.model_metadata import ModelMetadata
from centernet.inference.torch_runtime import TorchRuntime


def detections(count: int = 5) -> dict[str, Any]:
    corners = np.arange(count, dtype=np.float32)[:, None] * 20 + np.array([0, 0, 10, 10], np.float32)
    scores = np.linspace(0.9, 0.1, count, dtype=np.float32)
    return {"bboxes": corners[None], "labels": np.zeros((1, count), np.int64), "scores": scores[None]}


def test_the_same_is_no_difference() -> None:
    found = difference(detections(), detections())
    assert (found.scores, found.boxes, found.unmatched) == (0, 0, 0)


def test_a_moved_box_and_a_changed_score_are_seen() -> None:
    other = detections()
    other["bboxes"][0, 1, 2] += 0.5
    other["scores"][0, 0] += 0.00005
    found = difference(detections(), other)
    assert found.boxes == pytest.approx(0.5) and found.scores == pytest.approx(0.00005, rel=0.01)


def test_another_class_has_no_partner() -> None:
    other = detections()
    other["labels"][0, 1] = 1
    found = difference(detections(), other)
    assert found.unmatched == 2  # one of either list
    assert found.total == 8  # all but the lowest of each


def test_equal_scores_may_come_in_any_order() -> None:
    one, other = detections(), detections()
    for found in (one, other):
        found["scores"][0, :3] = 0.9
    other["bboxes"][0, :3] = other["bboxes"][0, [2, 0, 1]]
    assert difference(one, other).boxes == 0


def test_a_peak_beside_the_other_is_no_partner_where_places_count() -> None:
    """Of two neighbouring cells with nearly equal values, rounding decides which is a peak."""
    other = detections()
    other["bboxes"][0, 1] += 4
    found = difference(detections(), other, place_tolerance=PLACE)
    assert found.unmatched == 2 and found.boxes == 0
    assert difference(detections(), other).boxes == 4


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bboxes: expected the shape \(1, 5, 4\)"):
        difference(detections(), detections(4))


class Changed:
    """A file whose runtime gives the model's own answers, changed."""

    one_size = False

    def __init__(self, model: CenterNet, change: Callable[[dict[str, Any]], None], metadata: ModelMetadata) -> None:
        self.runtime, self.change, self.metadata = TorchRuntime(model.network), change, metadata

    def __call__(self, images: Any, count: int) -> dict[str, Any]:
        found = dict(self.runtime(images, count))
        height, width = images.shape[1:3]
        found["bboxes"] = found["bboxes"].clip(0, [width, height, width, height])
        self.change(found)
        return found


@pytest.fixture
def check(model: CenterNet, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Check a file that gives changed answers."""

    def run(change: Callable[[dict[str, Any]], None], count: int = 20) -> None:
        prepared = prepare(model.network, ExportOptions(num_detections=count))
        changed = Changed(model, change, prepared.metadata)
        monkeypatch.setattr("centernet.export.comparison.open_file", lambda path, **_: changed)
        check_file(Path("bad.onnx"), model.network, prepared)

    return run


def test_a_file_that_finds_something_else_is_an_error(check: Callable[..., None]) -> None:
    def shift(found: dict[str, Any]) -> None:
        found["bboxes"] = found["bboxes"] + 1

    with pytest.raises(ValueError, match=r"bad\.onnx: the file does not find what the model finds: .* px"):
        check(shift)


def test_a_file_that_finds_nothing_is_an_error(check: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match=r"bad\.onnx: .* detections without a partner"):
        check(lambda found: found.update({name: np.zeros_like(value) for name, value in found.items()}))


def test_a_column_that_is_another_is_an_error() -> None:
    one, other = (detections() | {"ages": np.zeros((1, 5))} for _ in range(2))
    other["ages"][0, 1] = 0.5
    assert difference(one, other).columns == {"ages": 0.5}
    with pytest.raises(ValueError, match="expected the outputs bboxes, labels, scores, ages, got bboxes"):
        difference(one, detections())


def test_one_peak_that_rounding_moved_is_none(check: Callable[..., None]) -> None:
    def move(found: dict[str, Any]) -> None:
        found["labels"][0, 3] = (found["labels"][0, 3] + 1) % 3

    check(move, 100)


def test_trial_images_are_the_same_again() -> None:
    images = trial_images(2, (30, 40))
    assert images.shape == (2, 30, 40, 3) and images.dtype == torch.uint8
    assert torch.equal(images, trial_images(2, (30, 40)))
    assert images.float().std() > 20


@pytest.mark.parametrize("format", ["torchscript", "pt2"])
def test_a_file_that_fails_its_check_or_cannot_be_written_leaves_the_one_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    network = CenterNet.from_pretrained("voc-lite").network
    path = tmp_path / f"model{FORMATS[format].suffix}"
    path.write_text("before")

    def fails(path: Path, *_: Any) -> None:
        raise ValueError(f"{path}: the file does not find what the model finds")

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "check_file", fails)
        with pytest.raises(ValueError) as error:
            export(network, path, format=format)
    assert str(error.value) == f"{path}: the file does not find what the model finds"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="its disk is full"):
        export(network, path, format=format)
    assert path.read_text() == "before" and os.listdir(tmp_path) == [path.name]
