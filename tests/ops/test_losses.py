"""Losses and their gradients against the established implementations, computed there from the same inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet.ops import (
    Targets,
    focal_loss,
    gather_at,
    l1_loss,
    quality_focal_loss,
    smooth_l1_loss,
    supervised_contrastive_loss,
    triplet_loss,
    weighted_iou_loss,
)


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Any:
    return np.load(shared / "data/oracles/upstream/losses.npz")


def close(value: Tensor, expected: Any, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


def leaf(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array)).requires_grad_()


@pytest.mark.parametrize(("name", "scale"), [("orig.focal", 1.0), ("orig.focal_nopos", 0.9)])
def test_focal_of_the_original(oracle: Any, name: str, scale: float) -> None:
    logits = leaf(oracle["input.hm"])
    loss = focal_loss(logits, torch.from_numpy(oracle["target.hm"]) * scale, clamp=1e-4)
    loss.backward()
    close(loss, oracle[f"{name}.value_f64"])
    assert logits.grad is not None
    close(logits.grad, oracle[f"{name}.grad_hm"])


def test_focal_on_logits_has_finite_gradients_beyond_the_clamp(oracle: Any) -> None:
    logits = leaf(oracle["input.hm"])
    focal_loss(logits, torch.from_numpy(oracle["target.hm"])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    wrong = torch.from_numpy((oracle["input.hm"] > 9.3) & (oracle["target.hm"] == 0))
    assert wrong.any()
    assert (logits.grad[wrong] > 0).all()  # the clamp has none there


def test_focal_of_better_plus(oracle: Any) -> None:
    logits = leaf(oracle["better_plus.input.hm"])  # within ±8, where no float32 saturates
    loss = focal_loss(logits, torch.from_numpy(oracle["target.hm"]))
    loss.backward()
    close(loss, oracle["better_plus.focal"])
    assert logits.grad is not None
    close(logits.grad, oracle["better_plus.focal.grad_hm"])


def test_quality_focal(oracle: Any) -> None:
    logits = leaf(oracle["input.hm"])
    loss = quality_focal_loss(logits, torch.from_numpy(oracle["target.hm"]))
    loss.backward()
    close(loss, oracle["lightning.quality_focal_mean"])
    assert logits.grad is not None
    close(logits.grad, oracle["lightning.quality_focal.grad_hm"])


@pytest.mark.parametrize(
    ("head", "name"), [("wh", "orig.RegL1_wh"), ("reg", "orig.RegL1_reg"), ("wh", "orig.RegSmoothL1_wh")]
)
def test_l1_at_centers(oracle: Any, head: str, name: str) -> None:
    output = leaf(oracle[f"input.{head}"])
    mask = torch.from_numpy(oracle["target.reg_mask"]).bool()
    values = gather_at(output, torch.from_numpy(oracle["target.ind"]))[mask]
    loss = (smooth_l1_loss if "Smooth" in name else l1_loss)(values, torch.from_numpy(oracle[f"target.{head}"])[mask])
    loss.backward()
    close(loss, oracle[f"{name}.value_f64"])
    assert output.grad is not None
    close(output.grad, oracle[f"{name}.grad_{head}"])


def test_ctdet_sum(oracle: Any) -> None:
    hm, wh, reg = (leaf(oracle[f"input.{name}"]) for name in ("hm", "wh", "reg"))
    mask, ind = torch.from_numpy(oracle["target.reg_mask"]).bool(), torch.from_numpy(oracle["target.ind"])
    loss = focal_loss(hm, torch.from_numpy(oracle["target.hm"]), clamp=1e-4)
    loss = loss + 0.1 * l1_loss(gather_at(wh, ind)[mask], torch.from_numpy(oracle["target.wh"])[mask])
    loss = loss + l1_loss(gather_at(reg, ind)[mask], torch.from_numpy(oracle["target.reg"])[mask])
    loss.backward()
    close(loss, oracle["orig.ctdet.loss"])
    for name, value in (("hm", hm), ("wh", wh), ("reg", reg)):
        assert value.grad is not None
        close(value.grad, oracle[f"orig.ctdet.grad_{name}"])


def test_ttfnet(oracle: Any) -> None:
    """TTFNet's distances from the cell's corner, its dense targets and its "+1" GIoU."""
    distances = leaf(oracle["ttf.input.wh"])
    y, x = torch.meshgrid(torch.arange(24) * 4.0, torch.arange(24) * 4.0, indexing="ij")
    left, top, right, bottom = distances.unbind(1)
    boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)
    weights = torch.from_numpy(oracle["ttf.target.reg_weight"])[:, 0]
    truth = torch.from_numpy(oracle["ttf.target.box_target"]).permute(0, 2, 3, 1)
    used = weights > 0
    loss = 5 * weighted_iou_loss(boxes[used], truth[used], weights[used], kind="giou", inclusive=True)
    loss.backward()
    close(loss, oracle["ttf.wh_loss"])
    assert distances.grad is not None
    close(distances.grad, oracle["ttf.grad_wh"])
    logits = leaf(oracle["input.hm"])
    hm_loss = focal_loss(logits, torch.from_numpy(oracle["ttf.target.heatmap"]), clamp=1e-4)
    hm_loss.backward()
    close(hm_loss, oracle["ttf.hm_loss"])
    assert logits.grad is not None
    close(logits.grad, oracle["ttf.grad_hm"])


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_iou_family(oracle: Any, kind: Any) -> None:
    boxes = leaf(oracle["lightning.boxes1"])
    truth = torch.from_numpy(oracle["lightning.boxes2"])
    prefix = {"iou": "IoU", "giou": "GIoU", "diou": "DIoU", "ciou": "CIoU"}[kind]
    weights = torch.ones(len(truth))
    loss = weighted_iou_loss(boxes, truth, weights, kind=kind) * (weights.sum() + 1e-4)
    loss.backward()
    close(loss, oracle[f"lightning.{prefix}Loss"].sum())
    assert boxes.grad is not None
    close(boxes.grad, oracle[f"lightning.{prefix}Loss.grad_boxes1"])


def test_empty_batches_are_finite_and_reach_the_maps() -> None:
    output = torch.randn(2, 4, 8, 8, requires_grad=True)
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    empty = Targets(
        torch.zeros(2, 0, 4),
        nothing,
        nothing.bool(),
        torch.zeros(2, dtype=torch.int64),
        grid=(8, 8),
        stride=4,
        num_classes=4,
    )
    samples = empty.samples("ellipse")
    raw = output.permute(0, 2, 3, 1).reshape(-1, 4)[samples.cells]
    for loss in (
        weighted_iou_loss(raw, empty.object_boxes[samples.objects], samples.weights),
        l1_loss(raw, empty.object_boxes),
        smooth_l1_loss(raw, empty.object_boxes),
        focal_loss(output, empty.heatmap(empty.radii("ellipse"))),
    ):
        assert torch.isfinite(loss)
        (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
        assert torch.isfinite(gradient).all()


@pytest.fixture(scope="module")
def people() -> tuple[Tensor, Tensor]:
    """Vectors of length 1 and their identities: two that come three times, one that comes twice, two that come once."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.tensor([0, 1, 0, 2, 3, 1, 4, 0, 1, 2])
    return torch.nn.functional.normalize(torch.randn(len(ids), 5, generator=generator), dim=-1), ids


@pytest.mark.parametrize("margin", [0.01, 0.3, 2.0])
def test_triplets_are_the_hardest_of_the_batch(people: tuple[Tensor, Tensor], margin: float) -> None:
    """PyTorch's triplet loss on triplets that are searched one by one."""
    embeddings, ids = people
    distance = torch.cdist(embeddings, embeddings)
    anchors, own, others = [], [], []
    for i in range(len(ids)):
        same = [j for j in range(len(ids)) if ids[j] == ids[i] and j != i]
        if same:
            anchors.append(i)
            own.append(max(same, key=lambda j: distance[i, j].item()))
            others.append(min((j for j in range(len(ids)) if ids[j] != ids[i]), key=lambda j: distance[i, j].item()))
    expected = torch.nn.functional.triplet_margin_loss(
        embeddings[anchors], embeddings[own], embeddings[others], margin=margin
    )
    torch.testing.assert_close(triplet_loss(embeddings, ids, margin=margin), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_supervised_contrast_by_its_formula(people: tuple[Tensor, Tensor], temperature: float) -> None:
    """Equation 2 of arXiv:2004.11362, term by term."""
    embeddings, ids = people
    z = embeddings.double().numpy()
    terms = []
    for i in range(len(ids)):
        same = [p for p in range(len(ids)) if ids[p] == ids[i] and p != i]
        if same:
            below = sum(np.exp(z[i] @ z[a] / temperature) for a in range(len(ids)) if a != i)
            terms.append(-sum(np.log(np.exp(z[i] @ z[p] / temperature) / below) for p in same) / len(same))
    loss = supervised_contrastive_loss(embeddings, ids, temperature=temperature)
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("ids", [[], [3], [1, 2, 3], [4, 4]])
def test_a_batch_with_nothing_to_compare_has_a_gradient_of_zero(ids: list[int]) -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(len(ids), 5), dim=-1).requires_grad_()
    losses = [triplet_loss(embeddings, torch.tensor(ids, dtype=torch.int64), margin=0.3)]
    if len(ids) < 2 or ids[0] != ids[1]:
        losses.append(supervised_contrastive_loss(embeddings, torch.tensor(ids, dtype=torch.int64), temperature=0.1))
    for loss in losses:
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, embeddings)
        assert (gradient == 0).all()


def test_equal_vectors_have_finite_gradients() -> None:
    embeddings = torch.ones(4, 3).div(3**0.5).requires_grad_()
    ids = torch.tensor([0, 0, 1, 1])
    for loss in (
        triplet_loss(embeddings, ids, margin=0.3),
        supervised_contrastive_loss(embeddings, ids, temperature=0.05),
    ):
        (gradient,) = torch.autograd.grad(loss, embeddings)
        assert torch.isfinite(gradient).all()
