"""Keypoints in heatmaps: the best cell near a place, against the product over all cells."""

from __future__ import annotations

import torch

from centernet.ops import best_cells


def everywhere(heatmap: torch.Tensor, places: torch.Tensor, boxes: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """B×N×K×H×W: what `best_cells` looks for the highest of."""
    y, x = torch.meshgrid(*map(torch.arange, heatmap.shape[2:]), indexing="ij")
    left, top, right, bottom = boxes[:, :, None, None, None].unbind(-1)
    squares = (x - places[..., 0, None, None]).square() + (y - places[..., 1, None, None]).square()
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return heatmap.sigmoid()[:, None] * torch.exp(-squares / spread[:, :, None, None, None]) * inside


def test_the_best_cell_is_that_of_all() -> None:
    torch.manual_seed(0)
    for height, width in ((31, 42), (8, 5), (1, 1)):
        limit = torch.tensor([width, height])
        heatmap = torch.nn.functional.interpolate(3 * torch.randn(2, 4, 9, 9) - 2, (height, width), mode="bilinear")
        centers, sides = torch.rand(2, 6, 2) * limit, torch.rand(2, 6, 2) * limit
        boxes = torch.cat([centers - sides / 2, centers + sides / 2], -1)
        places = centers[:, :, None] + (torch.rand(2, 6, 4, 2) - 0.5) * sides[:, :, None]
        spread = 2 * (0.15 * sides.amax(-1)).square()
        found = best_cells(heatmap, torch.zeros(2, 2, height, width), places, boxes, spread)
        values = everywhere(heatmap, places, boxes, spread).flatten(3)
        torch.testing.assert_close(found[..., 2], values.amax(3))
        cell = values.argmax(3)
        expected = torch.stack([cell % width, cell // width], -1).float()
        nothing = (values.amax(3) == 0).unsqueeze(-1)
        torch.testing.assert_close(found[..., :2], torch.where(nothing, places, expected))


def test_a_cell_counts_for_the_object_that_it_is_nearest_to() -> None:
    torch.manual_seed(1)
    heatmap, boxes = torch.randn(1, 2, 20, 24), torch.tensor([[[0, 0, 24, 20.0], [4, 4, 20, 16]]])
    places, spread = torch.tensor([[[[6.2, 7], [9, 9.0]], [[8, 7.5], [12, 9]]]]), torch.tensor([[9.0, 9.0]])
    found = best_cells(heatmap, torch.zeros(1, 2, 20, 24), places, boxes, spread, as_movenet=True)
    values = everywhere(heatmap, places, boxes, spread).amax(1, keepdim=True).flatten(3)  # of both objects
    cell = found[..., 1].long() * 24 + found[..., 0].long()
    torch.testing.assert_close(found[..., 2], values.expand(-1, 2, -1, -1).gather(3, cell.unsqueeze(3)).squeeze(3))
