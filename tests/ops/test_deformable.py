"""Deformable convolution: torchvision's, and the form of graphs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from centernet.network.layers import DeformableConv
from centernet.ops.deformable import deform_conv2d, sampled_deform_conv2d


def test_both_forms_give_the_same_numbers_beyond_the_edges_too() -> None:
    x, weight = torch.randn(2, 5, 11, 17), torch.randn(4, 5, 3, 3)
    offset, mask = 6 * torch.randn(2, 18, 11, 17), torch.rand(2, 9, 11, 17)
    torch.testing.assert_close(
        sampled_deform_conv2d(x, offset, mask, weight), deform_conv2d(x, offset, mask, weight), rtol=1e-4, atol=1e-4
    )


def test_whole_offsets_are_a_shift() -> None:
    """All taps moved one row down and two columns to the right: an ordinary convolution of the shifted map."""
    x, weight = torch.randn(1, 3, 8, 9), torch.randn(2, 3, 3, 3)
    offset = torch.tensor([1.0, 2.0]).repeat(9).view(1, 18, 1, 1).expand(1, 18, 8, 9)
    found = deform_conv2d(x, offset, torch.ones(1, 9, 8, 9), weight)
    expected = F.conv2d(x, weight)  # of cells whose taps lie inside: cell (r, c) reads rows r … r + 2 from (0, 1) on
    torch.testing.assert_close(found[:, :, :6, :6], expected[:, :, :, 1:], rtol=1e-4, atol=1e-5)


def test_the_layer_begins_as_half_a_convolution_and_computes_in_float32() -> None:
    layer, x = DeformableConv(3, 4), torch.randn(1, 3, 6, 7)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight / 2, padding=1), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), layer(x.float())) and layer(x).dtype == torch.float32
