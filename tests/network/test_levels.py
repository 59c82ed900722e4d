"""Heads on several levels: against the network that the packaged model's trunk comes from, and by hand."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from centernet import build_centernet
from centernet.configuration import PACKAGED
from centernet.images import read_image
from centernet.network import load_network
from centernet.network.build import build_network
from centernet.network.heads import Head
from centernet.network.heads.head import tower
from centernet.network.levels import Levels, by_size, on_level, parts
from centernet.network.tensor_files import read_weights
from centernet.network.weights import CONFIG, WEIGHTS
from centernet.ops import Peaks, Targets
from centernet.testing import check_head

SECTION: dict[str, Any] = {
    "num_classes": 3,
    "backbone": {"class_path": "ShuffleNetV2", "init_args": {"width": "0.5", "finest": 8}},
    "neck": {"class_path": "GhostPAN", "init_args": {"width": 16}},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"depth": 0}},
        "box": {"class_path": "LTRBHead", "init_args": {"depth": 0, "form": "distribution"}},
    },
}


def model_of(**changes: Any) -> Any:
    torch.manual_seed(0)
    return build_centernet({"model": {**SECTION, **changes}}).eval()


def batch_of(boxes: list[list[float]], labels: list[int]) -> Any:
    return SimpleNamespace(
        data={},
        boxes=torch.tensor([boxes]),
        labels=torch.tensor([labels]),
        ignore=torch.zeros(1, len(labels), dtype=torch.bool),
        counts=torch.tensor([len(labels)]),
        ids=None,
    )


def test_a_head_alone_is_the_case_of_one_level() -> None:
    single = build_centernet(
        {"model": {**SECTION, "neck": {"class_path": "FPN", "init_args": {"width": 16}}}},
        overrides=["model.backbone.init_args.finest=4"],
    )
    assert single.network.strides == (4,) and single.network.map_names == ("heatmap", "box")
    assert isinstance(single.eval()(torch.zeros(1, 3, 64, 64))["heatmap"], torch.Tensor)


def test_sizes_decide_levels() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 63, 63], [0, 0, 64, 64], [0, 0, 200, 60], [0, 0, 400, 400.0]])
    assert by_size(boxes, (8, 16, 32, 64)).tolist() == [0, 0, 1, 1, 3]


def test_the_best_of_all_levels_are_found_with_the_boxes_of_their_level() -> None:
    network = model_of(neck={"class_path": "GhostPAN", "init_args": {"width": 16, "point": 0.0}}).network
    encoded = network(torch.zeros(1, 3, 128, 128))
    for name, head in network.heads.items():
        for level in range(len(parts(head))):
            on_level(encoded[name], level).fill_(-9.0 if name == "heatmap" else 0.0)
    encoded["heatmap"][0][0, 1, 5, 3] = 2.0  # stride 8: the point (24, 40)
    encoded["heatmap"][2][0, 2, 1, 2] = 3.0  # stride 32: (64, 32)
    found = {name: x.detach() for name, x in network.decode_detections(encoded, 2).items()}
    assert found["labels"].tolist() == [[2, 1]]
    assert np.allclose(found["scores"], torch.tensor([[3.0, 2.0]]).sigmoid())
    mean = 3.5  # of eight bins of equal probability, in strides
    for row, (x, y, stride) in enumerate(((64, 32, 32), (24, 40, 8))):
        half = mean * stride
        assert np.allclose(found["bboxes"][0, row], [x - half, y - half, x + half, y + half], atol=1e-4)


def test_objects_in_neighbouring_cells_are_found_within_the_margin() -> None:
    network = model_of(nms_iou=0.6, num_candidates=20, peak_margin=0.5, merge_boxes=True).network
    encoded = network(torch.zeros(1, 3, 128, 128))
    for name, head in network.heads.items():
        for level in range(len(parts(head))):
            on_level(encoded[name], level).fill_(-9.0 if name == "heatmap" else 0.0)
    heatmap, box = encoded["heatmap"][0], encoded["box"][0]
    heatmap[0, 1, 5, 3:6] = torch.tensor([3.0, 2.6, 2.4])  # the third is within the margin of the second
    box[0, [i * 8 + 1 for i in range(4)], 5, 3] = 40.0  # one stride to each side
    box[0, [i * 8 + 2 for i in range(4)], 5, 4] = 40.0  # two strides
    box[0, [i * 8 + 2 for i in range(4)], 5, 5] = 40.0  # the same, a cell further: IoU .6 exactly is no overlap
    box[0, 2, 5, 5], box[0, 3, 5, 5] = 0.0, 40.0  # its left side where the second's is: IoU .8

    def found() -> tuple[list[float], list[float]]:
        detections = network.decode_detections(encoded, 10)
        rows = detections["scores"][0] > 0.5
        return detections["scores"][0, rows].logit().tolist(), detections["bboxes"][0, rows, 2].tolist()

    scores, right = found()
    assert scores == pytest.approx([3.0, 2.6], abs=1e-4)
    assert (
        right[0] == pytest.approx(36.0, abs=1e-3) and 52 < right[1] < 60
    )  # between the second's 52 and the third's 60
    network.nms_iou = None  # without suppression peaks stay peaks
    assert found()[0] == pytest.approx([3.0], abs=1e-4)


def test_a_margin_is_for_suppression() -> None:
    for option in ({"peak_margin": 0.5}, {"merge_boxes": True}, {"peak_margin": -1.0, "nms_iou": 0.6}):
        with pytest.raises(ValueError, match=r"model\.peak_margin .* model\.merge_boxes .* model\.nms_iou"):
            model_of(**option)


def test_fit_gives_an_object_to_the_level_that_places_it_best() -> None:
    network = model_of(level_assignment="fit").network
    encoded = network(torch.zeros(1, 3, 128, 128))
    for x in encoded["box"]:
        x.fill_(0.0)  # every cell's box is 7 strides wide and high
    for x in encoded["heatmap"]:
        x.fill_(-2.0)
    sides, labels = [56.0, 112.0, 224.0], [0, 1, 2]
    batch = batch_of([[64 - s / 2, 64 - s / 2, 64 + s / 2, 64 + s / 2] for s in sides], labels)
    assert [target.object_labels.tolist() for target in network.targets(encoded, batch)] == [[0], [1], [2], []]
    encoded["heatmap"][1][:, 0] = 3.0  # the first object's class answers at stride 16 alone
    encoded["box"][1][:] = torch.tensor([0, 9.0, 10.1, 0, 0, 0, 0, 0]).repeat(4)[:, None, None]
    assert network.targets(encoded, batch)[1].object_labels.tolist() == [0, 1]


def test_losses_are_means_over_the_objects_of_all_levels() -> None:
    """With equal maps on two levels and as many objects on each, the loss is that of either."""
    network = model_of(neck={"class_path": "GhostPAN", "init_args": {"width": 16, "tower_depth": 0}}).network
    encoded = network(torch.rand(1, 3, 128, 128))
    batch = batch_of([[8, 8, 40, 40], [16, 16, 112, 112]], [0, 1])
    terms = network.losses(encoded, batch)
    by_hand = 0.0
    for level, target in enumerate(network.targets(encoded, batch)):
        head = parts(network.heads["heatmap"])[level]
        share = max(target.num_objects, 1) / 2
        by_hand += share * head.loss(encoded["heatmap"][level], target)["heatmap"].item()
    assert terms["heatmap"].item() == pytest.approx(by_hand, rel=1e-5)
    assert isinstance(network.targets(encoded, batch)[0], Targets)
    assert torch.isfinite(network.losses(encoded, batch_of([[0, 0, 1, 1]], [-1]))["heatmap"])
    empty = SimpleNamespace(**{**vars(batch), "boxes": batch.boxes[:, :0], "labels": batch.labels[:, :0],
                               "ignore": batch.ignore[:, :0], "counts": torch.tensor([0])})  # fmt: skip
    assert torch.isfinite(torch.stack(list(network.losses(encoded, empty).values())).sum())


def test_every_parameter_learns_also_without_objects_on_a_level() -> None:
    network = model_of().network.train()
    batch = batch_of([[8, 8, 40, 40]], [0])
    sum(network.losses(network(torch.rand(1, 3, 128, 128)), batch).values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_packaged_detector_is_the_network_that_its_weights_come_from(shared: Path) -> None:
    """Logits of the established implementation's structure, with the weights cast to float32."""
    oracle = np.load(shared / "data/oracles/nanodet_plus/outputs.npz")
    network = load_network("coco-lite")
    for number in (0, 1):
        image = read_image(shared / "data/coco/images" / str(oracle[f"file{number}"]))
        images = network.normalize(torch.from_numpy(network.preprocessing(image)[None]).permute(0, 3, 1, 2))
        with torch.no_grad():
            maps = network.named_maps(network(images))
        for stride in network.strides:
            for name, theirs in (("heatmap", "cls"), ("box", "dis")):
                got = maps[f"{name}_{stride}"][0].numpy()
                got = got[:, ::2, ::2] if stride == 8 else got
                assert np.abs(got - oracle[f"{theirs}{stride}_{number}"]).max() < 1e-3, (name, stride)


def test_the_packaged_model_is_made_by_the_tool(shared: Path, tmp_path: Path) -> None:
    source = shared / "weights/nanodet_plus_m_1.5x_416_folded.safetensors"
    subprocess.run([sys.executable, "tools/coco_lite.py", str(source), "--output", str(tmp_path)], check=True)
    configs = [yaml.safe_load((folder / CONFIG).read_text()) for folder in (tmp_path, PACKAGED / "coco-lite")]
    sections = [
        build_network({"model": config.pop("model")}).hyper_parameters for config in configs
    ]  # defaults filled in
    measured = {"intervals", "tracking", "milliseconds"}  # of the packaged files
    configs[1]["about"] = {key: value for key, value in configs[1]["about"].items() if key not in measured}
    assert sections[0] == sections[1] and configs[0] == configs[1]
    made, packaged = (folder / WEIGHTS for folder in (tmp_path, PACKAGED / "coco-lite"))
    assert read_weights(made).keys() == read_weights(packaged).keys()
    assert all(
        torch.equal(a, b) for a, b in zip(read_weights(made).values(), read_weights(packaged).values(), strict=True)
    )


class Square(Head):
    """A box of ±8 input pixels around the middle of the cell, whatever the stride: not in proportion to it."""

    def __init__(self, in_channels: int, stride: int, num_classes: int, *, proportional: bool = False) -> None:
        super().__init__()
        self.layers, self.stride = tower(in_channels, 1, depth=0), stride
        self.proportional = proportional

    def loss(self, output: torch.Tensor, targets: Targets) -> dict[str, torch.Tensor]:
        return {"square": output.square().mean()}

    def decode(self, output: torch.Tensor, peaks: Peaks) -> dict[str, torch.Tensor]:
        centre = torch.stack([peaks.x + 0.5, peaks.y + 0.5], dim=-1) * self.stride
        return {"bboxes": torch.cat([centre - 8, centre + 8], dim=-1)}


def test_a_head_that_does_not_grow_with_the_stride_decodes_on_its_own_level() -> None:
    network = model_of().network
    network.heads["box"] = Levels.of(Square, 16, network.strides, 3)
    encoded = network(torch.rand(1, 3, 128, 128))
    for x in encoded["heatmap"]:
        x.fill_(-9.0)
    encoded["heatmap"][0][0, 1, 5, 3], encoded["heatmap"][1][0, 2, 1, 2] = 2.0, 3.0
    found = network.decode_detections(encoded, 2)
    assert found["bboxes"].tolist() == [[[32, 16, 48, 32], [20, 36, 36, 52]]]
    with pytest.raises(AssertionError, match="do not grow with the stride"):
        check_head(partial(Square, proportional=True))
