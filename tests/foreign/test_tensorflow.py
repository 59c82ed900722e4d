"""TensorFlow's checkpoints, read without it, and its networks' own maps."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import CenterNet
from centernet.foreign import converting, open_foreign, tensorflow
from centernet.foreign.bundle import Bundle
from centernet.foreign.reading import ForeignFile
from centernet.images import read_image
from centernet.images.published import _tensorflow_axis
from tests.foreign.published import arrays, gaps_of_files

NETWORKS = (
    *("mobilenetv2fpn_kpts", "mobilenetv2fpn_od", "mobilenetv2fpn_plain_od", "resnet50_v1_fpn_kpts"),
    *("resnet50_v1_fpn_od", "resnet50_v2_kpts", "resnet50_v2_od"),
)
LARGE = ("hg104_kpts", "hg104_od", "resnet101_v1_fpn_od")
ALL = [*NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data/oracles/tensorflow"


@pytest.fixture(scope="module")
def rule(folder: Path) -> Any:
    """How weights and inputs are made: data, in the form of a module."""
    spec = importlib.util.spec_from_file_location("tensorflow_rule", folder / "rule.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def converted(monkeypatch: pytest.MonkeyPatch, folder: Path, rule: Any, name: str, *, empty: bool = False) -> Any:
    """The network whose checkpoint would have these keys and the weights by rule."""
    keys = json.loads((folder / f"keys/{name}.json").read_text())["keys"]
    variables = {
        key: np.zeros(shape) if empty else rule.value(name, key + rule.SUFFIX, tuple(shape))
        for key, (shape, _) in keys.items()
    }
    state = tensorflow.torch_state(variables, {key: full for key, (_, full) in keys.items()})
    monkeypatch.setattr(tensorflow, "find_index", lambda path: path)
    monkeypatch.setattr(tensorflow, "read_checkpoint", lambda path: ForeignFile(path, state))
    return converting.open_foreign(name), sum(value.size for value in variables.values())


@pytest.mark.parametrize("name", ALL)
def test_every_network_is_converted_whole(monkeypatch: Any, folder: Path, rule: Any, name: str) -> None:
    found, total = converted(monkeypatch, folder, rule, name, empty=True)
    assert found.project == "TensorFlow's CenterNet"
    assert not [note for note in found.notes if "does not have" in note]
    ours = sum(value.numel() for key, value in found.network.state_dict().items() if "num_batches" not in key)
    assert 0.99 * total < ours <= total  # biases before norms went into them, and V2's last norm is not used


WITH_MAPS = [*(n for n in NETWORKS if n != "resnet50_v2_kpts"), *ALL[len(NETWORKS) : -1]]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_MAPS)
def test_maps_of_files_are_the_network_s(monkeypatch: Any, folder: Path, rule: Any, name: str, tmp_path: Path) -> None:
    found, _ = converted(monkeypatch, folder, rule, name)
    image = torch.from_numpy(rule.tensor_input(name)).permute(0, 3, 1, 2)
    gaps = gaps_of_files(found.network.eval(), image, tmp_path)
    print(f"{name}, of a map's deviation: {gaps}")
    assert max(gaps.values()) <= 1e-3, gaps


def as_there(encoded: dict[str, Any], stack: str = "") -> dict[str, Any]:
    """Maps under TensorFlow's names and in its order: N×H×W×C, y before x."""
    box = encoded[f"box{stack}"].flip(1)  # offset y, offset x, height, width
    maps = {"object_center": encoded[f"heatmap{stack}"], "box.scale": box[:, 2:], "box.offset": box[:, :2]}
    for part, x in encoded.get(f"keypoints{stack}", {}).items():
        turned = x if part == "heatmap" else x.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
        maps[f"human_pose.keypoint.{part}"] = turned
    return {name: x.permute(0, 2, 3, 1).numpy() for name, x in maps.items()}


def check_map(name: str, found: Any, expected: Any) -> None:
    """Theirs may have some rows and columns alone."""
    step = found.shape[1] // expected.shape[1]
    gap = np.abs(found[:, ::step, ::step] - expected).max()
    assert gap <= 1e-3 * expected.std(), f"{name}: {gap:.2e} of {expected.std():.2e}"


@pytest.mark.parametrize("name", WITH_MAPS)
def test_maps_are_tensorflow_s(monkeypatch: Any, folder: Path, rule: Any, name: str) -> None:
    found, _ = converted(monkeypatch, folder, rule, name)
    network = found.network
    network.training = name.startswith("hg")  # its parts are not: maps of both stacks, with norms as they are
    with torch.inference_mode():
        encoded = network(torch.from_numpy(rule.tensor_input(name)).permute(0, 3, 1, 2))
    stacks = 2 if name.startswith("hg") else 1
    for key, value in arrays(folder / f"forward/{name}.npz").items():
        head, _, stack = key.rpartition(".")
        if head != "features":
            check_map(key, as_there(encoded, "" if int(stack) == stacks - 1 else f".{stack}")[head], value)


POSES = ["mobilenetv2fpn_kpts", "resnet50_v1_fpn_kpts", pytest.param("hg104_kpts", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", POSES)
@pytest.mark.parametrize("picture", ["000000233771", "000000005802"])
def test_keypoints_on_pictures_are_tensorflow_s(
    monkeypatch: Any, folder: Path, rule: Any, shared: Path, name: str, picture: str
) -> None:
    """Resized pixels stay fractions here, as there; a detector rounds them."""
    network = converted(monkeypatch, folder, rule, name)[0].network.eval()
    expected = arrays(folder / f"pictures/{name}.npz")
    expected = {key.removeprefix(f"{picture}."): x for key, x in expected.items() if key.startswith(picture)}
    height, width = expected["true_image_shape"][:2].tolist()
    pixels = read_image(shared / f"data/coco/images/{picture}.jpg").astype(np.float32)
    canvas = np.zeros((512, 512, 3), np.float32)
    canvas[:height, :width] = _tensorflow_axis(_tensorflow_axis(pixels, height, 0), width, 1)
    with torch.inference_mode():
        encoded = network(network.normalize(torch.from_numpy(canvas)[None].permute(0, 3, 1, 2)))
        rows = network.decode_detections(encoded, len(expected["detection_scores"]))
    for key, value in as_there(encoded).items():
        check_map(key, value, expected[f"{key}.every8"][None])
    found = {key: value[0].numpy() for key, value in rows.items()}
    order = matched(found, expected)
    boxes = found["bboxes"][order].clip(0, 512)[:, [1, 0, 3, 2]] / 4
    np.testing.assert_allclose(found["scores"][order], expected["detection_scores"], atol=5e-6)
    np.testing.assert_allclose(boxes, expected["detection_boxes_strided"], atol=1e-4)
    mine = expected["detection_keypoint_scores"].sum(axis=1) > 0  # zeros for other classes there
    keypoints = found["keypoints"][order][mine]
    places = keypoints[..., 1::-1] / [height, width]
    np.testing.assert_allclose(places, expected["detection_keypoints"][mine], atol=1e-6)
    np.testing.assert_allclose(keypoints[..., 2], expected["detection_keypoint_scores"][mine], atol=5e-6)
    assert mine.any()


def matched(found: dict[str, Any], expected: dict[str, Any]) -> Any:
    """Places of TensorFlow's rows among those found: scores that are nearly equal come in any order."""
    boxes = found["bboxes"].clip(0, 512)[:, [1, 0, 3, 2]] / 4
    apart = np.abs(boxes[None] - expected["detection_boxes_strided"][:, None]).max(axis=2)
    apart += 1e3 * (found["labels"] != expected["detection_classes"][:, None])
    apart += 1e5 * np.abs(found["scores"] - expected["detection_scores"][:, None])
    order = apart.argmin(axis=1)
    assert sorted(order) == list(range(len(order)))
    return order


def test_a_checkpoint_as_the_exporter_writes_it(folder: Path, rule: Any) -> None:
    checkpoint = folder / "checkpoints/mobilenetv2fpn_kpts"
    bundle = Bundle(checkpoint / "ckpt-0.index")
    keys = json.loads((folder / "keys/mobilenetv2fpn_kpts.json").read_text())["keys"]
    names = bundle.full_names()
    for key, (shape, name) in keys.items():
        value = bundle.array(key + rule.SUFFIX)
        assert np.array_equal(value, rule.value("mobilenetv2fpn_kpts", key + rule.SUFFIX, tuple(shape)))
        assert names[key + rule.SUFFIX] == name
    for path in (checkpoint, checkpoint / "ckpt-0.index", checkpoint / "ckpt-0"):
        found = open_foreign(path)
        assert found.kind == "MobileNetV2 with FPN, pose" and found.network.class_names == ("person",)
        assert found.network.preprocessing.resize == "tensorflow"
    expected = arrays(folder / "forward/mobilenetv2fpn_kpts.npz")["object_center.0"]
    with torch.inference_mode():
        images = torch.from_numpy(rule.tensor_input("mobilenetv2fpn_kpts")).permute(0, 3, 1, 2)
        heatmap = CenterNet.from_foreign(checkpoint)(images)["heatmap"]
    assert np.abs(heatmap.permute(0, 2, 3, 1).numpy() - expected).max() <= 1e-3 * expected.std()


def test_other_types_and_what_is_not_read(folder: Path, tmp_path: Path) -> None:
    bundle = Bundle(folder / "checkpoints/tiny/ckpt-0.index")
    assert any("x.Sy" in key for key in bundle.entries) and any("a..b" in key for key in bundle.entries)
    read = {}
    for key, entry in bundle.entries.items():
        if entry.dtype == 7:
            with pytest.raises(ValueError, match="no array of numbers"):
                bundle.array(key)
        else:
            read[key] = bundle.array(key)
    assert {value.dtype.name for value in read.values()} >= {"float32", "float64", "float16", "int32", "uint8", "bool"}
    parts = Bundle(folder / "checkpoints/tiny/partitioned.ckpt.index")
    with pytest.raises(ValueError, match="lies in 2 parts"):
        parts.array("part")
    assert parts.array("plain").shape == (3,)
    with pytest.raises(ValueError, match="no checkpoint of the Object Detection API"):
        open_foreign(folder / "checkpoints/tiny/ckpt-0.index")
    whole = (folder / "checkpoints/mobilenetv2fpn_kpts/ckpt-0.index").read_bytes()
    (tmp_path / "ckpt-0.index").write_bytes(whole)
    with pytest.raises(FileNotFoundError, match=r"data of ckpt-0\.index are not beside"):
        open_foreign(tmp_path)
    (tmp_path / "ckpt-0.data-00000-of-00001").write_bytes(b"short")
    with pytest.raises(ValueError, match="too short"):
        open_foreign(tmp_path)
    (tmp_path / "ckpt-0.index").write_bytes(whole[:2000])
    with pytest.raises(ValueError, match=r"ckpt-0\.index is no index"):
        open_foreign(tmp_path)


def test_decoding_is_tensorflow_s(folder: Path, rule: Any) -> None:
    from centernet.network.heads import HeatmapHead, SizeOffsetHead

    expected = arrays(folder / "decode.npz")
    maps = {name: torch.from_numpy(x).permute(0, 3, 1, 2) for name, x in rule.decode_maps("c6").items()}
    peaks = HeatmapHead(8, 1, 6).find_peaks(maps["object_center"], 40)
    output = torch.cat([maps["box/scale"].flip(1), maps["box/offset"].flip(1)], dim=1)
    boxes = SizeOffsetHead(8, 1, 6, clamp=True).decode(output, peaks)["bboxes"]
    boxes = boxes.clamp(min=0).minimum(torch.tensor([40.0, 32, 40, 32])).numpy()[..., [1, 0, 3, 2]]
    wanted = expected["od_noshape.detection_boxes_strided"]
    np.testing.assert_allclose(peaks.scores, expected["od_noshape.detection_scores"], atol=1e-6)
    np.testing.assert_allclose(boxes, wanted, atol=1e-4)
    np.testing.assert_array_equal(peaks.labels, expected["od_noshape.detection_classes"])
