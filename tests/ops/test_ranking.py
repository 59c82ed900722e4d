"""The order of detections, and the suppression of overlaps against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms

from centernet.ops import order_by_score, suppress


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_suppression_is_that_of_going_through_the_boxes(threshold: float) -> None:
    torch.manual_seed(0)
    centers = torch.rand(4, 8, 1, 2) * 100  # eight heaps of boxes a picture
    corners = centers + torch.randn(4, 8, 12, 2) * 2
    sides = 20 + torch.rand(4, 8, 12, 2) * 6
    bboxes = torch.cat([corners - sides, corners + sides], dim=-1).flatten(1, 2)
    labels = torch.randint(3, (4, 96))
    scores = torch.rand(4, 96).sort(descending=True).values
    embeddings = torch.rand(4, 96, 5)
    found = suppress({"bboxes": bboxes, "labels": labels, "scores": scores, "embeddings": embeddings}, threshold)
    for i in range(4):
        kept = batched_nms(bboxes[i], scores[i], labels[i], threshold)
        assert 10 < len(kept) < 90
        torch.testing.assert_close(found["scores"][i, : len(kept)], scores[i, kept])
        assert (found["scores"][i, len(kept) :] == 0).all()
        for name, rows in (("bboxes", bboxes), ("labels", labels), ("embeddings", embeddings)):
            torch.testing.assert_close(found[name][i, : len(kept)], rows[i, kept])


def test_rows_follow_their_scores() -> None:
    rows = torch.arange(3.0).reshape(1, 3, 1)
    found = order_by_score({"scores": torch.tensor([[0.45, 0.72, 0.1]]), "bboxes": rows.expand(-1, -1, 4)})
    torch.testing.assert_close(found["scores"], torch.tensor([[0.72, 0.45, 0.1]]))
    assert found["bboxes"][0, :, 0].tolist() == [1, 0, 2]
