"""The order of detections, and the suppression of overlaps against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms, box_iou

from centernet.ops import order_by_score, suppress


def heaps() -> dict[str, torch.Tensor]:
    """Eight heaps of boxes a picture, of three classes."""
    torch.manual_seed(0)
    centers = torch.rand(4, 8, 1, 2) * 100
    corners = centers + torch.randn(4, 8, 12, 2) * 2
    sides = 20 + torch.rand(4, 8, 12, 2) * 6
    bboxes = torch.cat([corners - sides, corners + sides], dim=-1).flatten(1, 2)
    labels = torch.randint(3, (4, 96))
    scores = torch.rand(4, 96).sort(descending=True).values
    return {"bboxes": bboxes, "labels": labels, "scores": scores, "embeddings": torch.rand(4, 96, 5)}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_suppression_is_that_of_going_through_the_boxes(threshold: float) -> None:
    given = heaps()
    bboxes, labels, scores, embeddings = given.values()
    found = suppress(given, threshold)
    for i in range(4):
        kept = batched_nms(bboxes[i], scores[i], labels[i], threshold)
        assert 10 < len(kept) < 90
        torch.testing.assert_close(found["scores"][i, : len(kept)], scores[i, kept])
        assert (found["scores"][i, len(kept) :] == 0).all()
        for name, rows in (("bboxes", bboxes), ("labels", labels), ("embeddings", embeddings)):
            torch.testing.assert_close(found[name][i, : len(kept)], rows[i, kept])


def test_a_merged_box_is_the_mean_of_those_that_it_stands_for() -> None:
    """Softer-NMS's rule with one variance, pair by pair; rows without a score keep their box."""
    given = heaps()
    given["scores"][:, 90:] = 0
    plain, merged = suppress(given, 0.5, 40), suppress(given, 0.5, 40, merge=True)
    assert (plain["bboxes"] - merged["bboxes"]).abs().max() > 1
    for name in ("labels", "scores", "embeddings"):
        assert torch.equal(plain[name], merged[name])
    for i in range(4):
        for row in range(40):
            same = given["labels"][i] == plain["labels"][i, row]
            overlaps = box_iou(plain["bboxes"][i, row, None], given["bboxes"][i, same])[0]
            weights = given["scores"][i, same] * torch.exp(-((1 - overlaps) ** 2) / 0.025) * (overlaps > 0.5)
            if weights.sum() > 0:
                expected = (weights[:, None] * given["bboxes"][i, same]).sum(0) / weights.sum()
            else:
                expected = plain["bboxes"][i, row]
            torch.testing.assert_close(merged["bboxes"][i, row], expected, rtol=1e-4, atol=1e-3)
    nothing = {name: torch.zeros_like(value) for name, value in given.items()}
    assert torch.isfinite(suppress(nothing, 0.5, merge=True)["bboxes"]).all()


def test_rows_follow_their_scores() -> None:
    rows = torch.arange(3.0).reshape(1, 3, 1)
    found = order_by_score({"scores": torch.tensor([[0.45, 0.72, 0.1]]), "bboxes": rows.expand(-1, -1, 4)})
    torch.testing.assert_close(found["scores"], torch.tensor([[0.72, 0.45, 0.1]]))
    assert found["bboxes"][0, :, 0].tolist() == [1, 0, 2]
