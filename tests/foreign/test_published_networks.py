"""The published networks: known by their tensors, converted whole, and with the maps that their own code computes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet import CenterNet
from centernet.foreign import open_foreign
from centernet.foreign.converting import FAMILIES
from centernet.inference.results import to_detections
from centernet.network import Network
from tests.foreign import published
from tests.foreign.published import arrays as arrays_of

SLOW = ("centernet_hourglass", "centernet_hourglass_multi_pose", "centernet_res_101", "centernet_resdcn_101")
KINDS = {
    "better_plus_r18": ("better", "resnet18 with deformable"),
    "better_plus_r50": ("better", "resnet50 with deformable"),
    "centernet_dla_34": ("original", "DLA-34"),
    "centernet_dla_34_ddd": ("original", "DLA-34, 3D"),
    "centernet_dla_34_multi_pose": ("original", "DLA-34, pose"),
    "centernet_dlav0_34": ("original", "first version"),
    "centernet_hourglass": ("original", "Hourglass-104"),
    "centernet_hourglass_multi_pose": ("original", "Hourglass-104, pose"),
    "centernet_res_101": ("original", "resnet101"),
    "centernet_res_18": ("original", "resnet18"),
    "centernet_res_50": ("original", "resnet50"),
    "centernet_resdcn_101": ("original", "resnet101 with deformable"),
    "centernet_resdcn_18": ("original", "resnet18 with deformable"),
    "fairmot_dla_34": ("FairMOT", "FairMOT: DLA-34"),
    "mmdet_centernet_r18": ("MMDetection", "resnet18"),
    "mmdet_centernet_r18_dcnv2": ("MMDetection", "resnet18 with deformable"),
    "simple_centernet_r18": ("Simple", "resnet18 with deformable"),
    "ttfnet_d53": ("TTFNet", "DarkNet-53"),
    "ttfnet_dla34": ("TTFNet", "DLA-34"),
    "ttfnet_r18": ("TTFNet", "resnet18"),
    "ttfnet_r34": ("TTFNet", "resnet34"),
}
Maps = dict[str, Tensor]


def parametrize(names: Any) -> Any:
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]
    )


@parametrize(KINDS)
def test_every_network_is_known_and_converted_whole(shared: Path, tmp_path: Path, name: str) -> None:
    keys = published.description(shared, name)["keys"]
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {key: torch.zeros(shape) for key, shape in keys.items()}, "epoch": 140}, path)
    found = open_foreign(path)
    project, kind = KINDS[name]
    assert project in found.project and kind in found.kind
    unknown = [note for note in found.notes if "does not have" in note]
    assert not unknown
    total = sum(int(np.prod(shape)) for key, shape in keys.items() if not key.endswith("num_batches_tracked"))
    ours = sum(value.numel() for key, value in found.network.state_dict().items() if "num_batches" not in key)
    assert total * 0.85 < ours <= total  # biases before norms went into them, and what nothing runs through is left
    assert found.network.class_names is not None
    if name.endswith("ddd"):
        assert [column.name for column in found.network.columns] == ["depth", "dimensions", "alpha"]
    if name.endswith("multi_pose"):
        check_poses(found.network, arrays_of(shared / "data/oracles/upstream/decode.npz"))


def check_poses(network: Network, oracle: dict[str, np.ndarray]) -> None:
    """What the converted heads find in maps is what the original's decoder does, in cells and in an image's pixels."""
    maps = {name: torch.from_numpy(x) for name, x in oracle.items() if name.startswith(("pose.input", "input"))}
    parts = {"regression": "hps", "heatmap": "hm_hp_logits", "offset": "hp_offset"}
    encoded = {
        "heatmap": maps["pose.input.hm_logits"],
        "box": torch.cat([maps["pose.input.wh"], maps["input.reg"]], dim=1),
        "keypoints": {part: maps[f"pose.input.{theirs}"] for part, theirs in parts.items()},
    }
    for count in (40, 100):
        found = {name: x.numpy() for name, x in network.decode_detections(encoded, count).items()}
        places = found["keypoints"][..., :2].reshape(2, count, -1)
        rows = np.concatenate([found["bboxes"] / 4, found["scores"][..., None], places / 4], axis=2)
        np.testing.assert_allclose(rows, oracle[f"orig.multi_pose.K{count}"][..., :39], atol=1e-4, rtol=1e-4)
    first = {name: x[0] for name, x in found.items()}
    preprocessing = replace(network.preprocessing, size=(128, 160))
    people = to_detections(first, network.columns, preprocessing, (427, 640))
    boxes, keypoints = oracle["post0.multi_pose"][:, :4], oracle["post0.multi_pose"][:, 5:].reshape(-1, 17, 2)
    assert people.keypoints is not None and preprocessing.resize == "fix_res"
    np.testing.assert_allclose(people.bboxes, boxes.clip(0, [640, 427] * 2), atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(people.keypoints[..., :2], keypoints, atol=1e-3, rtol=1e-4)


def original(encoded: Maps) -> Maps:
    box, space = encoded["box"], encoded.get("box3d")
    return (
        {"hm": encoded["heatmap"], "wh": box[:, :-2], "reg": box[:, -2:]}
        | {name: value for name, value in encoded.items() if name not in ("heatmap", "box", "box3d", "embedding")}
        | ({"id": encoded["embedding"]} if "embedding" in encoded else {})
        | ({} if space is None else {"dep": space[:, :1], "rot": space[:, 1:9], "dim": space[:, 9:]})
    )


def mmdetection(encoded: Maps) -> Maps:
    box = encoded["box"]
    return {"center_heatmap_sigmoid": encoded["heatmap"].sigmoid(), "wh": box[:, :2], "offset": box[:, 2:]}


def better(encoded: Maps) -> Maps:
    return {"cls": encoded["heatmap"].sigmoid(), "wh": encoded["box"][:, :2], "reg": encoded["box"][:, 2:]}


def simple(encoded: Maps) -> Maps:
    box = encoded["box"]
    return {"encode": torch.cat([box[:, 2:], box[:, :2], encoded["heatmap"]], dim=1)}


def ttfnet(encoded: Maps) -> Maps:
    return {"hm": encoded["heatmap"], "wh": 16 * encoded["box"].relu()}


OUTPUTS: dict[str, Callable[[Maps], Maps]] = {
    "centernet": original, "fairmot": original, "mmdet": mmdetection, "better": better, "simple": simple,
    "ttfnet": ttfnet,
}  # fmt: skip


WITH_MAPS = sorted(set(KINDS) - {
    "centernet_res_50", "centernet_resdcn_101", "centernet_hourglass_multi_pose", "centernet_dla_34_multi_pose",
    "better_plus_r50", "ttfnet_dla34",
})  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_MAPS)
def test_maps_of_files_are_the_network_s(shared: Path, tmp_path: Path, name: str) -> None:
    torch.save(published.state_dict(shared, name), tmp_path / "weights.pth")
    network = CenterNet.from_foreign(tmp_path / "weights.pth").network.eval()
    gaps = published.gaps_of_files(network, published.images(), tmp_path)
    print(f"{name}, of a map's deviation: {gaps}")
    assert max(gaps.values()) <= 1e-3, gaps


@parametrize(WITH_MAPS)
def test_maps_are_those_of_the_project_s_own_code(shared: Path, tmp_path: Path, name: str) -> None:
    torch.save(published.state_dict(shared, name), tmp_path / "weights.pth")
    model = CenterNet.from_foreign(tmp_path / "weights.pth")
    model.network.training = "hourglass" in name  # its parts are not: maps of all stacks come with norms as they are
    with torch.inference_mode():
        encoded = model(published.images())
    found = OUTPUTS[name.split("_")[0]]({name: x for name, x in encoded.items() if "." not in name})
    if model.network.training:
        earlier = original({name.removesuffix(".0"): x for name, x in encoded.items() if name.endswith(".0")})
        found = {f"stack{i}.{name}": x for i, maps in enumerate((earlier, found)) for name, x in maps.items()}
    expected = arrays_of(shared / f"data/oracles/upstream/forward/{name}.npz")
    compared = 0
    for key in expected:
        if key.endswith("f64_f32_maxabs"):
            continue
        gap = np.abs(found[key].numpy() - expected[key]).max()
        allowed = max(1e-4 * expected[key].std(), 4 * expected[f"{key}.f64_f32_maxabs"])
        assert gap <= allowed, f"{key} differs by {gap:.2e}, allowed are {allowed:.2e}"
        compared += 1
    assert compared == len(found)


def test_families_are_told_apart(shared: Path) -> None:
    """No file is of two families."""
    for name in KINDS:
        keys = published.description(shared, name)["keys"]
        fitting = [f for f in FAMILIES if all(any(re.match(mark, key) for key in keys) for mark in f.marks)]
        assert len(fitting) == 1, name
