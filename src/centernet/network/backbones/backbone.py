"""The contract of a backbone: stages that run one after another, and the strides at which their maps are handed on."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centernet.lineage import Lineage
from centernet.network.tensor_files import read_weights
from centernet.trust import current_door

logger = logging.getLogger(__name__)

Padding = Literal["symmetric", "same"]
CHANNEL_BLOCK = 16
"""Runtimes lay channels out in blocks of 8 or 16, and take a slower way with other numbers."""
Download = Callable[[], dict[str, Tensor]]


class Backbone(nn.Module):
    """A backbone: `forward` gives one map for each entry of `out_channels` and `out_strides`, finest first.

    A part of one's own sets `out_channels` and `out_strides` and returns the maps in that order;
    `centernet.testing.check_backbone` runs the contract over it.

    Attributes:
        out_channels: channels of each map.
        out_strides: input pixels a cell of each map, ascending.
        origin: the lineage of the weights that it was built with; None where it began with random ones.
        num_stacks: how often the network comes to maps of `out_strides`; training looks at all of `stacks`, each with
            heads of its own, inference at the last.
    """

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]
    origin: Lineage | None = None
    num_stacks: int = 1

    @property
    def divisor(self) -> int:
        """Number of which both sides of inputs are to be multiples."""
        return self.out_strides[-1]

    def stacks(self, images: Tensor) -> list[list[Tensor]]:
        """Return the maps of each stack, the last one's as `forward` has them."""
        return [self(images)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images N×3×H×W float, H and W multiples of the last stride → maps N×C×(H/stride)×(W/stride)."""
        raise NotImplementedError

    def stages(self) -> list[nn.Module]:
        """The parts in order, for freezing: the stem first."""
        raise NotImplementedError

    def begin(
        self,
        name: str,
        download: Download,
        ignored: Sequence[str] = (),
        *,
        origin: Lineage | None = None,
        pretrained: bool = False,
        weights: str | Path | None = None,
        frozen_stages: int = 0,
        frozen_norms: bool = False,
        padding: Padding = "symmetric",
    ) -> None:
        """End the construction: load the weights to start from, change the padding, and freeze stages.

        Args:
            name: of the network, for messages.
            download: returns the hub's state dict.
            ignored: beginnings of names that the backbone leaves out (a classifier, dropped stages).
            origin: of the hub's weights.
            pretrained: start from the hub's weights (downloaded).
            weights: a local file of weights instead, `.safetensors` or `.pth`, with the names that the hub's have.
            frozen_stages: how many stages stay as they are, the stem first.
            frozen_norms: all batch norms keep the statistics that the weights came with.
            padding: `same` pads strided convolutions as TensorFlow does, for weights that come from there.

        A trained model's file brings its weights: what it names to start from is neither opened nor downloaded.
        """
        if current_door() is not None:
            weights, pretrained = None, False
        if weights is not None:
            self.load(read_weights(weights), source=str(weights), ignored=ignored)
            self.origin = Lineage(name=Path(weights).name)
        elif pretrained:
            self.load(_download(download, name), source=f"the hub's {name}", ignored=ignored)
            self.origin = origin or Lineage(name=name)
        if padding == "same":
            pad_same(self)
        self.freeze(frozen_stages, norms=frozen_norms)

    def load(self, state: dict[str, Tensor], *, source: str, ignored: Sequence[str] = ()) -> None:
        """Fill the backbone with tensors of a file or a hub; see `load_weights`."""
        load_weights(self, state, source=source, ignored=ignored)

    def simplify(self, *, gather: bool = True) -> None:
        """Leave out, in place, what no image makes a difference to, and what takes runtimes long. Exports call it on
        their copy of the network; `gather` says whether the format can take channels by a list of their numbers."""

    def freeze(self, num_stages: int, *, norms: bool = False) -> None:
        """Fix the first `num_stages` stages, and let the others learn.

        Args:
            num_stages: how many stages get no gradients; their batch norms keep their statistics.
            norms: all batch norms keep their statistics, also where weights learn.
        """
        stages = self.stages()
        if not 0 <= num_stages <= len(stages):
            raise ValueError(f"frozen_stages={num_stages}: {type(self).__name__} has {len(stages)} stages")
        self._num_frozen, self._frozen_norms = num_stages, norms
        for i, stage in enumerate(stages):
            stage.requires_grad_(i >= num_stages)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """As `nn.Module.train`, but frozen stages and norms stay in evaluation mode."""
        super().train(mode)
        for stage in self.stages()[: getattr(self, "_num_frozen", 0)]:
            stage.eval()
        if getattr(self, "_frozen_norms", False):
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class Conv2dSame(nn.Conv2d):
    """A strided convolution padded as TensorFlow's SAME on even sizes: the odd pixel goes to the bottom and the right.

    Weights that were trained so see a shifted image under symmetric padding.
    """

    @classmethod
    def from_conv(cls, conv: nn.Conv2d) -> Conv2dSame:
        """Return the same convolution with this padding; it shares the weight."""
        same = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            stride=conv.stride,  # type: ignore[arg-type]
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        same.weight, same.bias = conv.weight, conv.bias
        return same

    def forward(self, x: Tensor) -> Tensor:
        total_h, total_w = self.kernel_size[0] - self.stride[0], self.kernel_size[1] - self.stride[1]
        before_h, before_w = total_h // 2, total_w // 2
        return super().forward(F.pad(x, (before_w, total_w - before_w, before_h, total_h - before_h)))


@torch.no_grad()
def fold_norms(module: nn.Module) -> None:
    """Multiply, in place, each batch norm that follows a convolution in a sequence into it, as evaluation has it."""
    for sequence in [part for part in module.modules() if isinstance(part, nn.Sequential)]:
        for i, (layer, norm) in enumerate(itertools.pairwise(sequence)):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
                layer.weight, layer.bias = nn.utils.fuse_conv_bn_weights(layer.weight, layer.bias, *statistics)  # type: ignore[arg-type]
                sequence[i + 1] = nn.Identity()


def pad_same(module: nn.Module, kind: type[nn.Conv2d] = nn.Conv2d) -> None:
    """Replace, in place, every strided convolution of a kind that is wider than its stride by `Conv2dSame`."""
    for name, child in module.named_children():
        if isinstance(child, kind) and child.kernel_size[0] > child.stride[0] > 1 == child.dilation[0]:
            setattr(module, name, Conv2dSame.from_conv(child))
        else:
            pad_same(child, kind)


def load_weights(module: nn.Module, state: dict[str, Tensor], *, source: str, ignored: Iterable[str] = ()) -> None:
    """Fill a module and log how many tensors were loaded and which were not.

    Args:
        module: to be filled.
        state: names → tensors; the prefixes `module.`, `backbone.` and `model.` are taken off where all names have one.
        source: where the tensors are from, for messages.
        ignored: prefixes of names that a backbone leaves out (its classifier); they are counted, not complained about.

    Raises:
        ValueError: a tensor of another shape, or weights for less than all of the backbone.
    """
    for prefix in ("module.", "backbone.", "model."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    own = module.state_dict()
    if wrong := [name for name, value in state.items() if name in own and own[name].shape != value.shape]:
        name = wrong[0]
        raise ValueError(
            f"{source}: {len(wrong)} tensors have another shape than {type(module).__name__}'s, first {name}: "
            f"{tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the network; is it another variant?"
        )
    found = {name: value for name, value in state.items() if name in own}
    if missing := [name for name in own if name not in found and not name.endswith("num_batches_tracked")]:
        raise ValueError(
            f"{source}: has {len(found)} of the tensors of {type(module).__name__}, but not {len(missing)} others, "
            f"first {missing[0]}; the file's names begin {', '.join(list(state)[:3])}: is it another network?"
        )
    unused = [name for name in state if name not in own]
    module.load_state_dict(found, strict=False)
    message = f"{type(module).__name__}: {len(found)} tensors loaded from {source}, {len(unused)} left out"
    if unused:
        message += f" ({', '.join(unused[:4])}{', …' if len(unused) > 4 else ''})"
    logger.info(message)
    if surprising := [name for name in unused if not name.startswith(tuple(ignored))]:
        logger.warning("%s: no place in the network for %s", source, ", ".join(surprising[:8]))


def of_torchvision(hub: Any) -> Lineage:
    """Return the lineage of weights that torchvision offers, an entry of its `WeightsEnum`."""
    text = "torchvision states no licence of its weights: the terms of the data that they learned on may apply"
    return Lineage(name=f"torchvision {hub}", sources=(str(hub.url), "trained on ImageNet-1K"), limits=(text,))


def _download(get: Download, name: str) -> dict[str, Tensor]:
    try:
        return get()
    except Exception as error:
        raise RuntimeError(
            f"pretrained: true needs to download the ImageNet weights of {name}, and that failed "
            f"({type(error).__name__}: {error}). Without a network, set `pretrained: false` and "
            f"`weights: path/to/{name}.safetensors` (or .pth) to a file of its state dict."
        ) from error
