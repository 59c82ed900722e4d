"""ShuffleNetV2 of torchvision, without its classifier. Source: https://arxiv.org/abs/1807.11164."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.shufflenetv2 import InvertedResidual

from centernet.network.backbones.backbone import CHANNEL_BLOCK, Backbone, fold_norms, of_torchvision
from centernet.network.layers import Activation, activate

Width = Literal["0.5", "1.0", "1.5", "2.0"]


class ShuffleNetV2(Backbone):
    """torchvision's ShuffleNetV2, without its last convolution: maps of stride 4, 8, 16 and 32.

    Args:
        width: the variant; its channels are 24 at stride 4, then 48, 116, 176 or 244, doubled at each step.
        activation: `relu` as it was published, or `leaky_relu` of slope .1, as detectors were trained with.
        norm: False for weights into whose convolutions the batch norms were multiplied: they have a bias instead.
        finest: stride of the first map that is handed on, 4 or 8.
        start: further options, those of `Backbone.begin`: pretrained, weights, frozen_stages, frozen_norms and padding.
            Stages end at stride 4, 8, 16 and 32.
    """

    def __init__(
        self,
        width: Width = "1.0",
        *,
        activation: Activation = "relu",
        norm: bool = True,
        finest: Literal[4, 8] = 4,
        **start: Any,
    ) -> None:
        super().__init__()
        if finest not in (4, 8):
            raise ValueError(f"finest={finest}: the maps of ShuffleNetV2 begin with stride 4 or 8")
        name = f"shufflenet_v2_x{str(width).replace('.', '_')}"
        network = models.get_model(name)
        self.conv1, self.maxpool = network.conv1, network.maxpool
        self.stage2, self.stage3, self.stage4 = network.stage2, network.stage3, network.stage4
        channels = [24, *(stage[-1].branch2[-3].out_channels * 2 for stage in (self.stage2, self.stage3, self.stage4))]
        first = (4, 8).index(finest)
        self.out_strides, self.out_channels = (4, 8, 16, 32)[first:], tuple(channels[first:])
        _adapt(self, activation, norm)
        for block in self.modules():
            if isinstance(block, InvertedResidual):
                block.__class__ = _Block
        hub = models.get_model_weights(name)["DEFAULT"]
        self.begin(name, hub.get_state_dict, ("conv5.", "fc."), origin=of_torchvision(hub), **start)

    def stages(self) -> list[nn.Module]:
        return [nn.ModuleList([self.conv1, self.maxpool]), self.stage2, self.stage3, self.stage4]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.maxpool(self.conv1(images))]
        for stage in (self.stage2, self.stage3, self.stage4):
            maps.append(stage(maps[-1]))
        return maps[-len(self.out_strides) :]

    def simplify(self, *, gather: bool = True) -> None:
        """Leave out, in place, the shuffling of channels, which takes runtimes as long as a small convolution: a
        channel goes as it is to the block that reads it, whose weights stand in the order that its channels come in.
        Channels of the stem are filled up, so that runtimes keep their layout of channels in blocks."""
        fold_norms(self)
        if gather:
            for name in ("stage2", "stage3", "stage4"):
                setattr(self, name, Unshuffled(getattr(self, name)))
        if self.out_strides[0] > 4:
            _fill_up(self.conv1[0], self.stage2[0])


class _Block(InvertedResidual):  # type: ignore[misc]
    """torchvision's block, whose shuffle leaves the layout with the channels last: here it stays, which saves 4 to
    8 % of a training step. Graphs have torchvision's operators."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing() or torch.compiler.is_exporting():  # type: ignore[attr-defined, no-untyped-call]
            return super().forward(x)  # type: ignore[no-any-return]
        first, second = x.chunk(2, dim=1) if self.stride == 1 else (self.branch1(x), x)
        halves = [half.permute(0, 2, 3, 1) for half in (first, self.branch2(second))]
        return torch.stack(halves, dim=4).flatten(3).permute(0, 3, 1, 2)


class Unshuffled(nn.Sequential):
    """A stage of ShuffleNetV2 without the shuffling, made of one whose norms are folded; the maps are the same.

    Half of the channels pass a block by, the others become new ones; then both are shuffled. So the next block reads
    the last half of the new channels, the one after it half of the others, and so on.
    """

    def __init__(self, stage: nn.Sequential) -> None:
        super().__init__(*stage)
        blocks: list[Any] = list(stage)
        last = len(blocks)
        half = blocks[0].branch2[-3].out_channels
        # A channel is (its maker, its place there): the makers 0 and 1 are the branches of the first block.
        order = _shuffled([(0, i) for i in range(half)], [(1, i) for i in range(half)])
        read: list[list[tuple[int, int]]] = [[]]  # by each block, at last by the stage's result
        for number in range(1, last):
            read.append(order[half:])
            order = _shuffled(order[:half], [(number + 1, i) for i in range(half)])
        read.append(order)
        reader = {channel: number for number, channels in enumerate(read) for channel in channels}
        # What each maker makes, in parts that follow each other: (reader, number of channels).
        self.parts = [
            [(number, len(list(run))) for number, run in itertools.groupby(reader[maker, i] for i in range(half))]
            for maker in range(last + 1)
        ]
        came = [sorted(channels) for channels in read]  # maker by maker, as `forward` collects them
        for number in range(1, last):
            convolution = blocks[number].branch2[0]
            places = [read[number].index(channel) for channel in came[number]]
            convolution.weight = nn.Parameter(convolution.weight[:, places].contiguous(), requires_grad=False)
        self.order: Tensor
        self.register_buffer("order", torch.tensor([came[last].index(channel) for channel in order]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        blocks: list[Any] = list(self)
        read: list[list[Tensor]] = [[] for _ in range(len(self) + 1)]
        for maker in range(len(self) + 1):
            if maker < 2:
                made = (blocks[0].branch1, blocks[0].branch2)[maker](x)
            else:
                made = blocks[maker - 1].branch2(torch.cat(read[maker - 1], dim=1))
            sizes = [size for _, size in self.parts[maker]]
            pieces = made.split(sizes, dim=1) if len(sizes) > 1 else (made,)
            for (reader, _), piece in zip(self.parts[maker], pieces, strict=True):
                read[reader].append(piece)
        return torch.cat(read[-1], dim=1).index_select(1, self.order)


def _shuffled(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return channels of two halves in turns."""
    return [channel for pair in zip(first, second, strict=True) for channel in pair]


@torch.no_grad()
def _fill_up(stem: nn.Conv2d, block: Any) -> None:
    """Add channels of nothing to the stem, in place, up to a whole number of `CHANNEL_BLOCK`."""
    more = -stem.out_channels % CHANNEL_BLOCK
    depthwise, *pointwise = block.branch1[0], block.branch1[2], block.branch2[0]
    for convolution in (stem, depthwise):
        for name in ("weight", "bias"):
            values = getattr(convolution, name)
            filled = torch.cat([values, values.new_zeros(more, *values.shape[1:])])
            setattr(convolution, name, nn.Parameter(filled, requires_grad=False))
        convolution.out_channels += more
    depthwise.in_channels = depthwise.groups = depthwise.out_channels
    for convolution in pointwise:
        weight = convolution.weight
        filled = torch.cat([weight, weight.new_zeros(len(weight), more, 1, 1)], dim=1)
        convolution.weight = nn.Parameter(filled, requires_grad=False)
        convolution.in_channels += more


def _adapt(module: nn.Module, activation: Activation, norm: bool) -> None:
    """Replace, in place, activations and, without `norm`, batch norms; the names of the convolutions stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU) and activation != "relu":
            setattr(module, name, activate(activation))
        elif isinstance(child, nn.BatchNorm2d) and not norm:
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.Conv2d) and not norm:
            options: Any = {"stride": child.stride, "padding": child.padding, "groups": child.groups}
            setattr(module, name, nn.Conv2d(child.in_channels, child.out_channels, child.kernel_size, **options))  # type: ignore[arg-type]
        else:
            _adapt(child, activation, norm)
