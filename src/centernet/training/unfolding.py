"""Norms that were multiplied into their convolutions, and estimated anew: give the convolutions back an ordinary scale.

Such a norm changes nothing by its statistics, and the convolution's weights are as large as what it computes: in the
packaged `person-pose` rows of .0003 and of 9 where a new one has .3. An optimiser whose steps are all as long, as
Adam's are, takes the former apart in one step, and never moves the latter.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

IDENTITY = 1e-3
"""How far from 1 the scales of such a norm may be, by rounding."""


@torch.no_grad()
def unfold_norms(network: nn.Module) -> int:
    """Scale the rows of convolutions before such norms to that of new ones, √(2 / inputs), and the statistics likewise.

    What the network computes stays: rows are scaled by powers of two. Norms that were trained, or are new, stay as they
    are. Returns the number of convolutions that were scaled.
    """
    scaled = 0
    for layers in network.modules():
        for layer, norm in itertools.pairwise(layers) if isinstance(layers, nn.Sequential) else ():
            convolution = layer[-1] if isinstance(layer, nn.Sequential) else layer
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and _is_identity(norm):
                _scale(convolution, norm)
                scaled += 1
    return scaled


def _is_identity(norm: nn.BatchNorm2d) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None or not norm.affine or not mean.any():  # the last: a new one
        return False
    return bool(((norm.weight / (variance + norm.eps).sqrt() - 1).abs() < IDENTITY).all())


def _scale(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    weight = convolution.weight
    own = weight.flatten(1).square().mean(1).sqrt()
    scale = torch.exp2((own / (2 / weight[0].numel()) ** 0.5).log2().round().clamp(-24, 24))
    most = torch.exp2(((variance + norm.eps) / (2 * norm.eps)).sqrt().log2().floor()).clamp(min=1)
    scale = torch.minimum(scale, most)  # the variance stays above 0
    scale = torch.where(own > 0, scale, 1.0)
    weight.div_(scale.view(-1, 1, 1, 1))
    if convolution.bias is not None:
        convolution.bias.div_(scale)
    mean.div_(scale)
    variance.copy_(torch.where(scale == 1, variance, (variance + norm.eps) / scale.square() - norm.eps))
