"""Heads with several maps, and heads that read boxes, in a network; one that nobody planned is one file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet import Detector, build_centernet
from centernet.column import Column
from centernet.drawing import draw
from centernet.network.heads import Head
from centernet.network.heads.head import tower
from centernet.ops import Peaks, Targets, gather_at, l1_loss
from centernet.testing import check_head

SKELETON = {"names": ["nose", "left", "right"], "flip_pairs": [[1, 2]], "edges": [[0, 1], [0, 2]]}


def model(neck: str, search: str = "gaussian") -> Any:
    torch.manual_seed(0)
    heads = {
        "keypoints": {"class_path": "KeypointHead", "init_args": {"skeleton": SKELETON, "width": 8, "search": search}},
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
        "box": {"class_path": "LTRBHead", "init_args": {"width": 8}},
    }
    backbone = {"class_path": "MobileNetV3", "init_args": {"size": "small"}}
    section = {"num_classes": 1, "backbone": backbone, "neck": {"class_path": neck}, "heads": heads}
    built = build_centernet({"model": section}).eval()
    with torch.no_grad():
        for head in built.network.every_head:
            for part in (head.layers if hasattr(head, "find_peaks") else None, getattr(head, "heatmap", None)):
                if part is not None:
                    part[-1].weight.normal_(std=0.3)
    return built


@pytest.mark.parametrize("neck", ["FPN", "GhostPAN"])
def test_maps_and_keypoints_of_one_level_and_of_several(neck: str) -> None:
    network = model(neck).network
    images = torch.randn(2, 3, 61, 90)
    with torch.inference_mode():
        encoded = network(images)
        maps = network.named_maps(encoded)
        ending = "" if neck == "FPN" else "_8"
        side = network.strides[0] if neck == "FPN" else 8
        assert maps[f"keypoints_regression{ending}"].shape == (2, 6, -(-61 // side), -(-90 // side))
        assert list(maps) == list(network.map_names)
        found, again = (network.decode_detections(e, 8) for e in (encoded, network.encoded_of(maps)))
    for name, values in found.items():
        assert torch.equal(values, again[name]), name
    assert found["keypoints"].shape == (2, 8, 3, 3) and (found["scores"].diff(dim=1) <= 0).all()
    inside = torch.cat([found["keypoints"][..., :2] - found["bboxes"][:, :, None, :2],
                        found["bboxes"][:, :, None, 2:] - found["keypoints"][..., :2]], -1)  # fmt: skip
    sides = (found["bboxes"][..., 2:] - found["bboxes"][..., :2]).amax(-1)
    sure = found["keypoints"][..., 2] > 0
    assert sure.any() and (inside.amin(-1) >= -0.1 * sides[..., None] - 2 * max(network.strides))[sure].all()


def test_the_mirror_image_of_a_mirror_image_is_the_image() -> None:
    """The flip test of a picture that is its own mirror image: keypoints of a pair lie opposite each other."""
    network = model("FPN").network
    image = torch.randn(1, 3, 64, 64)
    image = image + image.flip(-1)
    with torch.inference_mode():
        maps = network.with_mirror(image)["keypoints"]
    heat, regression = maps["heatmap"], maps["regression"]
    torch.testing.assert_close(heat[:, 1], heat[:, 2].flip(-1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(heat[:, 0], heat[:, 0].flip(-1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(regression[:, 2], -regression[:, 4].flip(-1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(regression[:, 3], regression[:, 5].flip(-1), atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------------------------------- nobody planned it


class RotationHead(Head):
    """An angle of each object; detections gain the corners of its rotated box. All that it needs stands here."""

    columns = (Column("corners", "points", (4, 2)), Column("angle", "value"))
    fields = (Column("angle", "value"),)
    maps = ("direction", "weight")
    reads_boxes = True

    def __init__(self, in_channels: int, stride: int, num_classes: int) -> None:
        super().__init__()
        self.direction, self.weight = tower(in_channels, 2, width=8), tower(in_channels, 1, width=8)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {"direction": self.direction(features), "weight": self.weight(features)}

    def loss(self, output: dict[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        angle = targets.object_data("angle")
        raw = torch.cat([output["direction"], output["weight"]], dim=1)
        raw = raw.permute(0, 2, 3, 1).flatten(0, 2)[targets.center_index].float()
        apart = l1_loss(raw[:, :2] * raw[:, 2:].sigmoid(), torch.stack([angle.cos(), angle.sin()], dim=-1))
        return {"angle": apart}

    def decode(self, output: dict[str, Tensor], peaks: Peaks) -> dict[str, Tensor]:
        assert peaks.boxes is not None
        cos, sin = torch.nn.functional.normalize(gather_at(output["direction"], peaks.cells), dim=-1).unbind(-1)
        center, half = (
            (peaks.boxes[..., :2] + peaks.boxes[..., 2:]) / 2,
            (peaks.boxes[..., 2:] - peaks.boxes[..., :2]) / 2,
        )
        signs = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], device=center.device)
        x, y = (signs * half.unsqueeze(-2)).unbind(-1)  # B×K×4
        turned = [x * cos[..., None] - y * sin[..., None], x * sin[..., None] + y * cos[..., None]]
        return {"corners": center.unsqueeze(-2) + torch.stack(turned, dim=-1), "angle": torch.atan2(sin, cos)}


def test_a_head_for_rotated_boxes_is_one_class() -> None:
    check_head(RotationHead)
    torch.manual_seed(0)
    part = {"class_path": f"{__name__}.RotationHead"}
    heads = {"rotation": part, "heatmap": {"class_path": "HeatmapHead"}, "box": {"class_path": "LTRBHead"}}
    backbone = {"class_path": "MobileNetV3", "init_args": {"size": "small"}}
    built = build_centernet(
        {"model": {"num_classes": 2, "backbone": backbone, "neck": {"class_path": "FPN"}, "heads": heads}}
    )
    image = np.random.default_rng(0).integers(0, 255, (70, 100, 3), dtype=np.uint8)
    found = Detector(built.network, score_threshold=0.0, num_detections=5)(image)
    corners = found.data["corners"]
    assert corners.shape == (5, 4, 2)
    sides = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    assert (sides > 0).all() and {column.name for column in found.columns} == {"corners", "angle"}
    assert (draw(image, found) != image).any()
