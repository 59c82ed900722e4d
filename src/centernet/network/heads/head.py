"""The contract of a head: a raw map, its loss, and the values at peaks that it adds to detections."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from torch import Tensor, nn

from centernet.detections import Column
from centernet.network.layers import ConvBlock, Convolution, LinearSeparable, OutputConv
from centernet.ops import Peaks, Targets

Output: TypeAlias = "Tensor | dict[str, Tensor]"
"""Output of a head: its raw map, or its several maps by name."""


class TrainingData(Protocol):
    """The questions that a head may ask of the training data; `centernet.data.DataModule` answers them."""

    @property
    def num_identities(self) -> int:
        """Number above all identities; 0 where nothing has one."""

    @property
    def fields(self) -> tuple[Column, ...]:
        """Columns of what the data know of each box beside label and identity, such as its keypoints."""

    def check_identities(self, known: int) -> None:
        """Raise a DataError that names the file of an identity that is not below `known`."""


class Head(nn.Module):
    """A head is built with the neck's channels and stride and the number of classes, and reads one map.

    `__init__(in_channels, stride, num_classes, *, …)`: channels of the neck's map, input pixels a cell, and the number
    of classes, which many heads have no use for. A head of one's own implements the three methods below (`forward` runs
    its `layers`, if nothing else), and says in `columns` what it adds to detections: the network, exported files,
    runtimes, writers and drawing carry it.
    `centernet.testing.check_head` runs the contract over it. One head of a model also has
    `find_peaks(output, num_peaks, *, labels=None) -> Peaks`, which looks for the classes of `labels` alone; of several
    levels it is given the list of their maps. For `model.peak_margin` it takes a `margin`, too.

    Of a neck with several levels a model has the head once a level.

    A head may give several maps of one task: then it says in `maps` what they are called, and `forward` returns a dict,
    which `loss`, `decode` and `with_mirror` get in place of the one map.

    Attributes:
        columns: what `decode` adds beside boxes, labels and scores.
        maps: names of its maps, of a head that gives several; raw maps of files are called NAME_MAP.
        fields: the truth beside boxes and labels that its loss reads, by `targets.object_data`.
        reads_boxes: its `decode` reads `peaks.boxes`: such heads are decoded after the others.
        proportional: what `decode` returns in input pixels grows with the stride, and nothing else depends on it or on
            weights: then the head of the finest level decodes for all, from maps side by side, B×C×1×cells.
        training_only: names of parts that only the loss needs; they are left out of what is passed on.
    """

    layers: nn.Sequential
    columns: tuple[Column, ...] = ()
    maps: tuple[str, ...] = ()
    fields: tuple[Column, ...] = ()
    reads_boxes = False
    proportional = False
    training_only: tuple[str, ...] = ()

    def prepare(self, data: TrainingData) -> None:
        """Make what the training data decide the size of, and raise a ValueError where they lack one of `fields`. It is
        called when a training starts, before weights of a checkpoint come in; calling it again changes nothing."""
        known = {column.name: column for column in data.fields} if self.fields else {}
        for column in self.fields:
            if (found := known.get(column.name)) is None:
                text = f"has {', '.join(known)}" if known else "has boxes alone"
                raise ValueError(
                    f"{type(self).__name__} learns {column.name}, but the training data {text}: give data that have "
                    "them, or leave the head out"
                )
            if found.shape != column.shape:
                raise ValueError(
                    f"{type(self).__name__} learns {column.name} of the shape {column.shape}, but the training data "
                    f"have {found.shape}: make the model for these data"
                )

    def known_rows(self, other: Head) -> dict[str, list[int]]:
        """Return how to begin from a head of this class that knows other things, such as other keypoints.

        By the name of a tensor, for each of its rows the row of the other's, -1 where it begins anew. Tensors that are
        not named are taken over as they are, where their shapes fit."""
        return {}

    def forward(self, features: Tensor) -> Any:
        """Compute the raw map N×C×H×W (logits, no sigmoid) of features N×in_channels×H×W, or several as a dict."""
        return self.layers(features)

    def loss(self, output: Any, targets: Targets) -> dict[str, Tensor]:
        """Return named, weighted scalar terms, float32; their sum over all heads is the loss. They are finite for an
        empty batch, with a gradient (perhaps 0) for every parameter of the head."""
        raise NotImplementedError

    def with_mirror(self, output: Any, mirrored: Any) -> Any:
        """Return the raw map of images, averaged with that of their mirror images where that makes sense.

        `mirrored` is turned round already: its cells are those of `output`. Without a method of its own, a head keeps
        the map of the image.
        """
        return output

    def decode(self, output: Any, peaks: Peaks) -> dict[str, Tensor]:
        """Return what detections gain: `bboxes` B×K×4 in input pixels of a box head, B×K×… for each of `columns`, and
        `scores` B×K where the head knows better ones than `peaks.scores`, which are those of the heads before."""
        raise NotImplementedError


def tower(
    in_channels: int,
    out_channels: int,
    *,
    width: int = 64,
    depth: int = 1,
    convolution: Convolution = "normal",
    norm: bool = False,
) -> nn.Sequential:
    """Make a head's layers: 3×3 convolutions with ReLU, then 1×1 to `out_channels` in float32.

    Args:
        in_channels: channels of the neck's map.
        out_channels: channels of the raw map.
        width: channels of the 3×3 convolutions.
        depth: their number; 0 for the 1×1 alone.
        convolution: `normal`, `separable`, `linear_separable` or `deformable`.
        norm: batch norm in the tower; without it the convolutions have a bias, as in the original.
    """
    layers: list[nn.Module] = []
    channels = in_channels
    for _ in range(depth):
        if convolution == "linear_separable" and not norm:
            layers += [LinearSeparable(channels, width), nn.ReLU(inplace=True)]
        elif norm or convolution != "normal":
            layers.append(ConvBlock(channels, width, convolution=convolution))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        channels = width
    layers.append(OutputConv(channels, out_channels))
    return nn.Sequential(*layers)
