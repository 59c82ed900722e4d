"""ShuffleNetV2 of torchvision, without its classifier. Source: https://arxiv.org/abs/1807.11164."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torchvision import models

from centernet.network.backbones.backbone import Backbone, of_torchvision
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
        hub = models.get_model_weights(name)["DEFAULT"]
        self.begin(name, hub.get_state_dict, ("conv5.", "fc."), origin=of_torchvision(hub), **start)

    def stages(self) -> list[nn.Module]:
        return [nn.ModuleList([self.conv1, self.maxpool]), self.stage2, self.stage3, self.stage4]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.maxpool(self.conv1(images))]
        for stage in (self.stage2, self.stage3, self.stage4):
            maps.append(stage(maps[-1]))
        return maps[-len(self.out_strides) :]


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
