"""Keypoints: targets, losses and decode of the original, of TensorFlow and of MoveNet."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet.network.heads import HeatmapHead, KeypointHead, SizeOffsetHead
from centernet.ops import Peaks, Targets, focal_loss, l1_loss

ORIGINAL: dict[str, Any] = {"search": "original", "offset": "shared", "logit_clamp": 1e-4}
TINY: dict[str, Any] = {"names": ["nose", "left", "right"], "flip_pairs": [[1, 2]]}


@pytest.fixture(scope="module")
def upstream(shared: Path) -> Path:
    return shared / "data/oracles/upstream"


def tensors(path: Path) -> dict[str, Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def targets_of(boxes: Any, keypoints: Tensor, grid: tuple[int, int], **more: Any) -> Targets:
    """The targets of one image of one class."""
    boxes = torch.as_tensor(boxes)[None]
    labels = torch.zeros(boxes.shape[:2], dtype=torch.int64)
    values = {"ignore": labels.bool(), "counts": torch.tensor([boxes.shape[1]]), **more}
    return Targets(boxes, labels, **values, grid=grid, stride=4, num_classes=1, data={"keypoints": keypoints[None]})


@pytest.mark.parametrize("scene", ["scene0", "scene1"])
def test_targets_are_the_original_s(upstream: Path, scene: str) -> None:
    """Any maps cost what they cost against its targets."""
    oracle = tensors(upstream / "gaussian.npz")
    expected = {key.removeprefix(f"{scene}.pose."): value for key, value in oracle.items() if f"{scene}.pose." in key}
    boxes = (oracle[f"{scene}.boxes"] / 4).clamp(0, 127) * 4  # as the original's are
    targets = targets_of(boxes, expected["keypoints"], (128, 128))
    here, seen = expected["hp_mask"].bool(), expected["hps_mask"].bool()
    maps = {"regression": torch.randn(1, 34, 128, 128), "offset": torch.randn(1, 2, 128, 128)}
    maps["heatmap"] = torch.randn(1, 17, 128, 128)
    terms = KeypointHead(1, 4, 1, **ORIGINAL).loss(maps, targets)
    regression = maps["regression"].flatten(2)[0].T[targets.center_index]
    offset = maps["offset"].flatten(2)[0].T[expected["hp_ind"][here]]
    # Ours leaves out, unlike the original, the boxes of those without a labelled keypoint.
    none = ~(expected["keypoints"][..., 2] > 0).any(1)
    background = ~targets.covered(boxes[none], torch.zeros(int(none.sum()), dtype=torch.int64))[:, None]
    for name, wanted in (
        ("regression", l1_loss(regression[seen], expected["hps"][seen])),
        ("offset", l1_loss(offset, expected["hp_offset"][here])),
        ("heatmap", focal_loss(maps["heatmap"], expected["hm_hp"][None], clamp=1e-4, background=background)),
    ):
        torch.testing.assert_close(terms[f"keypoint_{name}"], wanted, atol=1e-4, rtol=1e-5)
    assert none.sum() == 1 and here.any() and seen.any()


def test_losses_and_gradients_are_the_original_s(upstream: Path) -> None:
    oracle = tensors(upstream / "losses.npz")
    names = {"hps": "hp", "hm_hp": "hm_hp", "hp_offset": "hp_offset"}
    maps = {name: oracle[f"pose.input.{name}"].requires_grad_() for name in names}

    def chosen(name: str, index: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        values = maps[name].flatten(2).transpose(1, 2)
        return l1_loss(values[torch.arange(2)[:, None], index][mask], target[mask])

    seen, here = oracle["pose.target.hps_mask"].bool(), oracle["pose.target.hp_mask"].bool()
    terms = {
        "hps": chosen("hps", oracle["target.ind"].long(), seen, oracle["pose.target.hps"]),
        "hp_offset": chosen("hp_offset", oracle["pose.target.hp_ind"], here, oracle["pose.target.hp_offset"]),
        "hm_hp": focal_loss(maps["hm_hp"], oracle["pose.target.hm_hp"], clamp=1e-4),
    }
    sum(terms.values()).backward()  # type: ignore[union-attr]
    for name, theirs in names.items():
        torch.testing.assert_close(terms[name], oracle[f"orig.multi_pose.{theirs}_loss"], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(maps[name].grad, oracle[f"orig.multi_pose.grad_{name}"], atol=1e-5, rtol=1e-4)


def decoded(head: KeypointHead, maps: dict[str, Tensor], center: Tensor, box: Tensor, count: int) -> Tensor:
    """B×K×(box, score, keypoints x y) in cells, as the original's decoder gives them."""
    peaks = HeatmapHead(1, 1, 1).find_peaks(center, count)
    boxes = SizeOffsetHead(1, 1, 1).decode(box, peaks)["bboxes"]
    keypoints = head.decode(maps, peaks._replace(boxes=boxes))["keypoints"]
    return torch.cat([boxes, peaks.scores.unsqueeze(2), keypoints[..., :2].flatten(2)], dim=2)


@pytest.mark.parametrize("case", ["K100", "K40", "K100_nohp", "K100_nohpoffset", "flip"])
def test_decode_is_the_original_s(upstream: Path, case: str) -> None:
    oracle = tensors(upstream / "decode.npz")
    given = {name: oracle[f"pose.input.{key}"] for name, key in
             (("regression", "hps"), ("heatmap", "hm_hp_logits"), ("offset", "hp_offset"))}  # fmt: skip
    given = {key: value for key, value in given.items() if case.endswith(("_nohp", "_nohpoffset")) is False or key in (
        ("regression",) if case.endswith("_nohp") else ("regression", "heatmap"))}  # fmt: skip
    options = {"heatmap": "heatmap" in given, "offset": "shared" if "offset" in given else "none"}
    head = KeypointHead(1, 1, 1, search="original", **options)  # type: ignore[arg-type]
    assert set(head.maps) == set(given)
    center = oracle["pose.input.hm_logits"]
    box = torch.cat([oracle["pose.input.wh"], oracle["input.reg"]], dim=1)
    if case == "flip":  # the second entry stands for the mirror image's maps

        def both(part: Any, maps: Any) -> Any:
            first, second = ({k: v[i : i + 1] for k, v in maps.items()} for i in (0, 1))
            return part.with_mirror(first, {k: v.flip(-1) for k, v in second.items()})

        given = both(head, given)
        center = HeatmapHead(1, 1, 1).with_mirror(center[:1], center[1:].flip(-1))
        box = SizeOffsetHead(1, 1, 1).with_mirror(box[:1], box[1:].flip(-1))
    expected = oracle["orig.multi_pose_flip.K100" if case == "flip" else f"orig.multi_pose.{case}"]
    found = decoded(head, given, center, box, expected.shape[1])
    torch.testing.assert_close(found, expected[..., :39], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", ["kpts1", "kpts6_shared_offset"])
def test_decode_is_tensorflow_s(shared: Path, case: str) -> None:
    folder = shared / "data/oracles/tensorflow"
    spec = importlib.util.spec_from_file_location("tensorflow_rule", folder / "rule.py")
    assert spec is not None and spec.loader is not None
    rule: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    maps = rule.decode_maps({"kpts1": "c1", "kpts6_shared_offset": "c6s"}[case])
    planes = {name: torch.from_numpy(x).permute(0, 3, 1, 2) for name, x in maps.items()}
    part = "human_pose/keypoint"
    pairs = {  # y before x there
        name: planes[f"{part}/{name}"].unflatten(1, (-1, 2)).flip(2).flatten(1, 2) for name in ("regression", "offset")
    }
    box = torch.cat([planes["box/scale"].flip(1), planes["box/offset"].flip(1)], dim=1)
    classes, count = planes["object_center"].shape[1], planes[f"{part}/heatmap"].shape[1]
    skeleton = {"names": [str(i) for i in range(count)]}
    expected = tensors(folder / "decode.npz")
    wanted, scores = (expected[f"{case}.detection_keypoint{kind}"] for kind in ("s", "_scores"))
    peaks = HeatmapHead(1, 1, classes).find_peaks(planes["object_center"], wanted.shape[1])
    boxes = SizeOffsetHead(1, 1, classes, clamp=True).decode(box, peaks)["bboxes"]
    head = KeypointHead(1, 1, classes, search="tensorflow", skeleton=skeleton)
    output = {**pairs, "heatmap": planes[f"{part}/heatmap"]}
    found = head.decode(output, peaks._replace(boxes=boxes))["keypoints"]
    places = found[..., :2].flip(-1) / (expected[f"{case}.true_image_shapes"][:, None, None, :2] / 4)
    mine = scores.sum(2) > 0  # theirs are zeros for other classes
    torch.testing.assert_close(places[mine], wanted[mine], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[..., 2][mine], scores[mine], atol=1e-5, rtol=0)
    assert mine.sum() >= 10


def test_learning_ends_where_the_truth_is() -> None:
    """Maps that are trained themselves, then decoded: within a tenth of a cell of what was labelled."""
    torch.manual_seed(0)
    boxes = torch.tensor([[8.0, 8, 60, 70], [40, 30, 120, 90]])
    keypoints = torch.tensor([[[20.3, 21, 2], [33, 60.7, 2], [50, 44, 1]], [[70, 40.2, 2], [100, 80, 2], [0, 0, 0]]])
    head = KeypointHead(1, 4, 1, skeleton=TINY, offset_radius=1)
    maps = {name: torch.randn(1, n, 24, 32).mul(0.1).requires_grad_() for name, n in
            (("regression", 6), ("heatmap", 3), ("offset", 6))}  # fmt: skip
    optimizer = torch.optim.Adam(maps.values(), lr=0.2)
    targets = targets_of(boxes, keypoints, (24, 32))
    for _ in range(150):
        optimizer.zero_grad()
        sum(head.loss(maps, targets).values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    x, y = targets.center_cells.unbind(1)
    peaks = Peaks(
        torch.ones(1, 2), torch.zeros(1, 2).long(), targets.center_index[None], x[None].float(), y[None].float()
    )
    for search in ("gaussian", "movenet", "original", "tensorflow"):
        other = KeypointHead(1, 4, 1, skeleton=TINY, search=search)  # type: ignore[arg-type]
        found = other.decode({k: v.detach() for k, v in maps.items()}, peaks._replace(boxes=boxes[None]))
        labelled = keypoints[..., 2] > 0
        apart = (found["keypoints"][0, ..., :2] - keypoints[..., :2])[labelled].abs()
        assert apart.max() < 0.4, f"{search}: {apart.max()}"


def test_an_object_without_keypoints_teaches_nothing() -> None:
    """Neither places nor, in its box, the absence of parts; an ignored region neither."""
    none = torch.zeros(1, 3, 3)
    head = KeypointHead(1, 4, 1, skeleton=TINY)
    for more in ({}, {"ignore": torch.ones(1, 1, dtype=torch.bool)}):
        maps = {name: torch.randn(1, n, 8, 8).requires_grad_() for name, n in
                (("regression", 6), ("heatmap", 3), ("offset", 6))}  # fmt: skip
        sum(head.loss(maps, targets_of([[4.0, 4, 20, 28]], none, (8, 8), **more)).values()).backward()  # type: ignore
        assert maps["regression"].grad is not None and not maps["regression"].grad.any()
        gradient = maps["heatmap"].grad
        assert gradient is not None and not gradient[..., 1:7, 1:5].any() and gradient[..., 7, :].all()


def test_data_without_keypoints_are_refused() -> None:
    from types import SimpleNamespace

    head = KeypointHead(1, 4, 1)
    with pytest.raises(ValueError, match="KeypointHead learns keypoints, but the training data has boxes alone"):
        head.prepare(SimpleNamespace(fields=()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(17, 3\), but the training data have \(3, 3\)"):
        head.prepare(SimpleNamespace(fields=KeypointHead(1, 4, 1, skeleton=TINY).fields))  # type: ignore[arg-type]
