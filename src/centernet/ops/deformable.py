"""Convolution that reads its taps at learned places: DCNv2. Source: https://arxiv.org/abs/1811.11168."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, *, as_operator: bool = False) -> Tensor:
    """Convolve with stride 1, the map's size kept; each tap is moved by an offset and weighted by a mask.

    Args:
        x: N×C×H×W float32; values outside of the map are 0, those between cells bilinear.
        offset: N×2kk×H×W, (dy, dx) of each tap of the k×k kernel, row by row, in cells.
        mask: N×kk×H×W, the share of each tap.
        weight: O×C×k×k, k odd.
        as_operator: leave it one operator in a graph, too.

    Returns:
        N×O×H×W. A graph that is traced or exported gets the same numbers from operators that every runtime has, unless
        it is to have this one.
    """
    exported = torch.jit.is_tracing() or torch.compiler.is_exporting()  # type: ignore[attr-defined, no-untyped-call]
    if exported and not as_operator:
        return sampled_deform_conv2d(x, offset, mask, weight)
    from torchvision.ops import deform_conv2d as compiled

    result: Tensor = compiled(x, offset, weight, padding=weight.shape[-1] // 2, mask=mask)
    return result


def sampled_deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """`deform_conv2d` by one `grid_sample` of all taps and a 1×1 convolution."""
    count, channels, height, width = x.shape
    kernel = weight.shape[-1]
    taps, half = kernel * kernel, kernel // 2
    moves = offset.reshape(count, taps, 2, height, width)
    tap = torch.arange(taps, dtype=x.dtype, device=x.device).view(1, taps, 1, 1)
    tap_y = torch.div(tap, kernel, rounding_mode="floor")
    rows = torch.arange(height, dtype=x.dtype, device=x.device).view(1, 1, height, 1)
    columns = torch.arange(width, dtype=x.dtype, device=x.device).view(1, 1, 1, width)
    y = moves[:, :, 0] + (tap_y - half) + rows
    x_ = moves[:, :, 1] + (tap - tap_y * kernel - half) + columns
    # Cells count from −1 + 1/W to 1 − 1/W.
    grid = torch.stack([(2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    grid = grid.reshape(count, taps * height, width, 2)
    values = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    values = values.reshape(count, channels, taps, height, width) * mask.unsqueeze(1)
    return F.conv2d(values.reshape(count, channels * taps, height, width), weight.reshape(-1, channels * taps, 1, 1))
