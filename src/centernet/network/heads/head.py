"""What every head is: a raw map, its loss, and what its values at peaks add to detections."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from centernet.network.layers import ConvBlock, Convolution, OutputConv
from centernet.ops import Peaks, Targets


class TrainingData(Protocol):
    """What a head may ask of the training data before training starts; `centernet.data.DataModule` is one."""

    @property
    def num_identities(self) -> int:
        """Identities are below it; 0 where nothing has one."""
        ...

    def check_identities(self, known: int) -> None:
        """Raise a DataError that names the file of an identity that is not below `known`."""
        ...


class Head(nn.Module):
    """A head is built with the neck's channels and stride and the number of classes, and reads one map.

    `__init__(in_channels, stride, num_classes, *, …)`. A head of one's own implements the three methods below;
    `centernet.testing.check_head` runs the contract over it. One head of a model also has
    `find_peaks(output, num_peaks) -> Peaks`.

    Attributes:
        training_only: names of parts that only the loss needs; they are left out of what is passed on.
    """

    training_only: tuple[str, ...] = ()

    def prepare(self, data: TrainingData) -> None:
        """Called when a training starts, before weights of a checkpoint come in; makes what the data decide the size
        of. Calling it again changes nothing."""

    def forward(self, features: Tensor) -> Tensor:
        """Features N×in_channels×H×W → raw map N×C×H×W (logits, no sigmoid)."""
        raise NotImplementedError

    def loss(self, output: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Named, weighted scalar terms, float32; their sum over all heads is the loss. Finite for an empty batch,
        with a gradient (perhaps 0) for every parameter of the head."""
        raise NotImplementedError

    def decode(self, output: Tensor, peaks: Peaks) -> dict[str, Tensor]:
        """What detections gain: names → B×K×… values at the peaks. Boxes are in input pixels."""
        raise NotImplementedError


def tower(
    in_channels: int, out_channels: int, *, width: int, depth: int, convolution: Convolution, norm: bool
) -> nn.Sequential:
    """`depth` 3×3 convolutions of `width` with ReLU, then 1×1 to `out_channels` in float32: a head's layers.

    Without `norm` the convolutions have a bias and no batch norm, as in the original.
    """
    layers: list[nn.Module] = []
    channels = in_channels
    for _ in range(depth):
        if norm or convolution == "separable":
            layers.append(ConvBlock(channels, width, convolution=convolution))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        channels = width
    layers.append(OutputConv(channels, out_channels))
    return nn.Sequential(*layers)
