"""ResNets of other projects: which one it is, by its blocks."""

from __future__ import annotations

import re

from centernet.foreign.description import Part
from centernet.foreign.tensors import Tensors

_BLOCKS = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
"""Blocks of three convolutions or not, and the number of blocks of each layer → name."""


def take_resnet(tensors: Tensors, prefix: str = "") -> Part:
    """Take the tensors of a ResNet with torchvision's names behind a prefix."""
    blocks = [0, 0, 0, 0]
    for key in tensors.left:
        if match := re.match(rf"{prefix}layer([1-4])\.(\d+)\.", key):
            blocks[int(match[1]) - 1] = max(blocks[int(match[1]) - 1], int(match[2]) + 1)
    three = f"{prefix.replace(chr(92), '')}layer1.0.conv3.weight" in tensors
    name = _BLOCKS.get((three, (blocks[0], blocks[1], blocks[2], blocks[3])))
    if name is None:
        raise ValueError(f"its ResNet has {blocks} blocks of {3 if three else 2} convolutions, which no known one has")
    tensors.move(rf"{prefix}(conv1|bn1|layer\d)\.", r"backbone.\1.")
    return Part("ResNet", {"name": name})
