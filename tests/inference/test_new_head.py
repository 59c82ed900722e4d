"""A head of one's own, in this file alone: what it adds arrives in detections, files, tiles, writers and drawings."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet import CenterNet, Detections, Detector, Tracker
from centernet.detections import Column
from centernet.drawing import draw
from centernet.export import FORMATS, ExportOptions, export
from centernet.images import Preprocessing
from centernet.inference import CocoWriter, CsvWriter, frames
from centernet.network import Network
from centernet.network.backbones import ResNet
from centernet.network.heads import Head, HeatmapHead, LTRBHead
from centernet.network.heads.head import tower
from centernet.network.necks import FPN
from centernet.ops import Peaks, Targets, gather_at
from centernet.testing import check_head


class PoseHead(Head):
    """An age, two points with a score each, and the box of a part: the centre of the peak's cell, ±8 input pixels."""

    columns = (Column("age", "value"), Column("pose", "points", (2, 3)), Column("part", "boxes", (4,)))

    def __init__(self, in_channels: int, stride: int, num_classes: int) -> None:
        super().__init__()
        self.layers = tower(in_channels, 2, width=8)
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)  # type: ignore[no-any-return]

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        return {"pose": (output.float() - 1).square().mean()}

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        raw = gather_at(output, peaks.cells).float()
        centre = torch.stack([peaks.x + 0.5, peaks.y + 0.5], dim=-1) * self.stride
        points = torch.stack([centre, centre + 4], dim=-2)  # N×K×2×2
        score = raw[..., 1, None, None].expand(*raw.shape[:-1], 2, 1)
        return {
            "age": raw[..., 0],
            "pose": torch.cat([points, score], dim=-1),
            "part": torch.cat([centre - 8, centre + 8], dim=-1),
        }


NAMES = {"age", "pose", "part"}


@pytest.fixture(scope="module")
def model() -> CenterNet:
    torch.manual_seed(0)
    heads: dict[str, Any] = {"heatmap": partial(HeatmapHead, width=8), "box": partial(LTRBHead, width=8)}
    network = Network(
        ResNet("resnet18"),
        partial(FPN, width=16),
        heads | {"person": PoseHead},
        class_names=("cat", "dog"),
        preprocessing=Preprocessing((64, 96)),
    )
    return CenterNet.of(network).eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (200, 240, 3), dtype=np.uint8)


def detect(model: Any, image: np.ndarray, **options: Any) -> Detections:
    found: Detections = Detector(model, score_threshold=0.0, num_detections=10, **options)(image)
    return found


def test_it_is_a_head() -> None:
    check_head(PoseHead)


def test_columns_arrive_in_the_image_s_own_pixels(model: CenterNet, image: np.ndarray) -> None:
    """The letterbox is 77×64 pixels of 96×64: scale .32, padding 9 on the left."""
    found = detect(model, image)
    assert found.columns == PoseHead.columns and set(found.data) == NAMES and len(found) == 10
    pose, part = found.data["pose"], found.data["part"]
    scale = model.preprocessing.matrix((200, 240))[[0, 1], [0, 1]]
    np.testing.assert_allclose(part[:, 2:] - part[:, :2], np.tile(16 / scale, (10, 1)), rtol=1e-4)
    np.testing.assert_allclose((part[:, :2] + part[:, 2:]) / 2, pose[:, 0, :2], atol=1e-3)
    np.testing.assert_allclose(pose[:, 1, :2] - pose[:, 0, :2], np.tile(4 / scale, (10, 1)), rtol=1e-4)
    cells = model.preprocessing.to_input(np.tile(pose[:, 0, :2], 2), (200, 240))[:, :2] / model.stride
    np.testing.assert_allclose(cells % 1, 0.5, atol=1e-3)
    network_input = torch.from_numpy(model.preprocessing(image)[None]).permute(0, 3, 1, 2)
    with torch.no_grad():
        raw = model.decode_detections(model(model.normalize(network_input)), 10)
    np.testing.assert_allclose(found.data["age"], raw["age"][0], atol=1e-5)
    np.testing.assert_allclose(pose[..., 2], raw["pose"][0, ..., 2], atol=1e-5)


@pytest.mark.parametrize(
    ("format", "letterbox"), [("onnx", False), ("onnx", True), ("torchscript", True), ("openvino", False)]
)
def test_columns_are_in_exported_files(
    model: CenterNet, image: np.ndarray, tmp_path: Path, format: str, letterbox: bool
) -> None:
    for package in FORMATS[format].packages:
        pytest.importorskip(package)
    options = ExportOptions(num_detections=10, letterbox=letterbox)
    path = export(model.network, tmp_path / f"pose{FORMATS[format].suffix}", options)
    eager, exported = detect(model, image), detect(path, image)
    assert exported.columns == PoseHead.columns
    for name in NAMES:
        np.testing.assert_allclose(exported.data[name], eager.data[name], atol=0.05)


def test_tiles_keep_each_object_s_own(model: CenterNet, image: np.ndarray) -> None:
    found = detect(model, image, tile=100)
    assert found.columns == PoseHead.columns
    pose, part = found.data["pose"], found.data["part"]
    np.testing.assert_allclose((part[:, :2] + part[:, 2:]) / 2, pose[:, 0, :2], atol=1e-3)
    sides = part[:, 2] - part[:, 0]
    tile_scale = model.preprocessing.matrix((100, 100))[0, 0]
    whole_scale = model.preprocessing.matrix((200, 240))[0, 0]
    of_tiles, of_whole = (np.isclose(sides, 16 / scale, rtol=1e-3) for scale in (tile_scale, whole_scale))
    assert (of_tiles | of_whole).all() and of_tiles.any()
    assert (pose[:, 0, :2] > -20).all() and (pose[:, 0, :2] < (260, 220)).all() and pose[:, 0].max() > 100


def test_columns_are_written_and_drawn(model: CenterNet, image: np.ndarray, tmp_path: Path) -> None:
    found, (frame,) = detect(model, image), frames(image)
    with CocoWriter(tmp_path / "d.json", found.class_names) as json_writer:
        json_writer.write(frame, found)
    first = json.loads((tmp_path / "d.json").read_text())["annotations"][0]
    assert first["age"] == pytest.approx(found.data["age"][0], abs=1e-3)
    assert first["pose"] == pytest.approx(found.data["pose"][0].ravel(), abs=1e-3), "flat, as COCO's keypoints are"
    assert first["part"] == pytest.approx(found.data["part"][0], abs=1e-3)
    with CsvWriter(tmp_path / "d.csv", found.columns) as csv_writer:
        csv_writer.write(frame, found)
    with (tmp_path / "d.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert float(row["pose_4"]) == pytest.approx(found.data["pose"][0, 1, 1], abs=1e-3) and "age" in row
    plain = replace(found, columns=(), data={})
    assert (draw(image, found) != draw(image, plain)).any()


def test_tracks_and_supervision_have_them(model: CenterNet, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    found = replace(detect(model, image), scores=np.full(10, 0.95, np.float32))[:1]
    tracks = Tracker().update(found)
    np.testing.assert_array_equal(tracks.data["pose"], found.data["pose"])
    supervision = pytest.importorskip("supervision")
    assert isinstance(found.to_supervision(), supervision.Detections)
    assert set(found.to_supervision().data) == NAMES | {"class_name"}
