"""MobileNetV2 and V3 of torchvision, without their classifier.

Sources: https://arxiv.org/abs/1801.04381, https://arxiv.org/abs/1905.02244.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import Conv2dNormActivation

from centernet.network.backbones.backbone import CHANNEL_BLOCK, Backbone, of_torchvision


class _MobileNet(Backbone):
    """`features` of a torchvision MobileNet, cut into one stage a stride.

    The map of a stride is the last before the next down-sampling, as torchvision's own detectors take it.

    Args:
        name: torchvision's name of the network.
        last_conv: keep the last 1×1 convolution, which only a classifier needs.
        taps: index of the block at each stride from 4 to 32 whose map is handed on; None for the last one.
        options: of torchvision's network.
        last_channels: of the last 1×1 convolution; None for torchvision's.
        start: further options, those of `Backbone.begin`: pretrained, weights, frozen_stages, frozen_norms and padding.
            Stages end at stride 4, 8, 16 and 32.
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any] | None = None,
        *,
        last_conv: bool = False,
        last_channels: int | None = None,
        taps: Sequence[int] | None = None,
        **start: Any,
    ) -> None:
        super().__init__()
        features = models.get_model(name, **(options or {})).features
        if last_channels is not None:
            before: Any = features[-1][0]
            features[-1] = Conv2dNormActivation(
                before.in_channels, last_channels, kernel_size=1, activation_layer=type(features[-1][2])
            )
        self.features = features if last_conv else features[:-1]
        last: dict[int, tuple[int, int]] = {}  # stride → index and channels of the block that is handed on
        stride = 1
        for i, block in enumerate(self.features):
            convs = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
            stride *= max(conv.stride[0] for conv in convs)
            if taps is None or i in taps:
                last[stride] = i, convs[-1].out_channels
        self.out_strides = tuple(stride for stride in last if stride >= 4)
        self.ends, self.out_channels = zip(*(last[stride] for stride in self.out_strides), strict=True)
        dropped = () if last_conv else (f"features.{len(features) - 1}.",)
        hub = models.get_model_weights(name)["DEFAULT"]
        self.begin(name, hub.get_state_dict, ("classifier.", *dropped), origin=of_torchvision(hub), **start)

    def stages(self) -> list[nn.Module]:
        blocks, starts = list(self.features), [0, *(end + 1 for end in self.ends[:-1])]
        return [nn.ModuleList(blocks[start : end + 1]) for start, end in zip(starts, self.ends, strict=True)]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, x = [], images
        for i, block in enumerate(self.features):
            x = block(x)
            if i in self.ends:
                maps.append(x)
        return maps


class MobileNetV2(_MobileNet):
    """torchvision's MobileNetV2: maps of stride 4, 8, 16 and 32 with 24, 32, 96 and 320 channels at a width of 1.

    Args:
        width: times the channels of 1, in steps of 8. Pretrained weights are those of 1.
        options: those of every MobileNet.
    """

    def __init__(self, *, width: float = 1.0, **options: Any) -> None:
        super().__init__("mobilenet_v2", {"width_mult": width}, **options)

    def simplify(self, *, gather: bool = True) -> None:
        """Leave out hidden channels that are constant: detectors trained by others have hundreds of them."""
        for before, block in zip(self.features, self.features[1:], strict=False):
            layers = _layers(block)
            if len(layers) == 4:  # the first block has no expansion: its hidden channels are the stem's
                layers = _layers(before) + layers
            if len(layers) == 6:
                _drop_constant(layers)


class MobileNetV3(_MobileNet):
    """torchvision's MobileNetV3, small or large: maps of stride 4, 8, 16 and 32.

    Args:
        size: the variant.
        options: those of every MobileNet.
    """

    def __init__(self, size: Literal["small", "large"] = "large", **options: Any) -> None:
        super().__init__(f"mobilenet_v3_{size}", **options)


def _layers(block: nn.Module) -> list[Any]:
    return [layer for layer in block.modules() if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))]


@torch.no_grad()
def _drop_constant(layers: list[Any]) -> None:
    """Cut hidden channels of a block with ReLU6 whose depthwise convolution gives one value for any input in 0..6."""
    expand, expand_norm, depthwise, depthwise_norm, project, project_norm = layers
    scale = depthwise_norm.weight * torch.rsqrt(depthwise_norm.running_var + depthwise_norm.eps)
    weight = depthwise.weight[:, 0].flatten(1) * scale[:, None]
    bias = depthwise_norm.bias - depthwise_norm.running_mean * scale
    lowest, highest = ((bias + 6 * part.sum(1)).clamp(0, 6) for part in (weight.clamp(max=0), weight.clamp(min=0)))
    constant = (highest - lowest <= 1e-6).nonzero()[:, 0]
    number = len(bias)
    wanted = -(-(number - len(constant)) // CHANNEL_BLOCK) * CHANNEL_BLOCK
    cut = constant[: max(0, number - wanted)]
    kept = torch.ones(number, dtype=torch.bool).index_fill(0, cut, False).nonzero()[:, 0]
    # Their value, times the projection's weights, moves into the mean that the last norm subtracts.
    project_norm.running_mean -= project.weight[:, cut, 0, 0] @ highest[cut]
    for convolution, norm in ((expand, expand_norm), (depthwise, depthwise_norm)):
        convolution.weight = nn.Parameter(convolution.weight[kept])
        convolution.out_channels = norm.num_features = len(kept)
        for name in ("weight", "bias"):
            setattr(norm, name, nn.Parameter(getattr(norm, name)[kept]))
        for name in ("running_mean", "running_var"):
            setattr(norm, name, getattr(norm, name)[kept])
    depthwise.in_channels = depthwise.groups = project.in_channels = len(kept)
    project.weight = nn.Parameter(project.weight[:, kept])
