"""The whole detector as one graph, images in and boxes out: what every format writes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from centernet.detections import NUM_DETECTIONS, SCORE_THRESHOLD
from centernet.export.letterbox import Letterbox, Shrink, image_size
from centernet.export.options import ExportOptions
from centernet.inference.model_metadata import INPUT, OUTPUTS, Layout, ModelMetadata
from centernet.inference.thresholds import class_labels
from centernet.network import Network
from centernet.network.layers import OutputConv

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Prepared:
    """A detector ready to be written."""

    network: Network  # a copy without what only losses need, in evaluation mode, in float32; the writer's to change
    metadata: ModelMetadata
    images: Tensor  # a sample input, two images
    options: ExportOptions
    labels: tuple[int, ...] | None = None  # the network's, of the classes that the file finds; None for all

    @property
    def sample_hw(self) -> tuple[int, int]:
        """Height and width of the sample input."""
        rows = 1 if self.metadata.layout == "NHWC" else 2
        return self.images.shape[rows], self.images.shape[rows + 1]


def prepare(network: Network, options: ExportOptions, images: Tensor | None = None, *, gather: bool = True) -> Prepared:
    """Copy a network as it goes into a file, and collect what the file will say of itself.

    Arguments as of `export`, and `gather`, whether the format can take channels by a list of their numbers; a sample
    that no graph takes and a head with a name that is taken are ValueErrors.
    """
    only = options.raw_maps == "only"
    if images is None:
        size = network.preprocessing.output_size((512, 512))
        planes = (options.input_type or ("float32" if only else "uint8")) == "float32"
        images = torch.zeros(1, 3, *size) if planes else torch.zeros(1, *size, 3, dtype=torch.uint8)
    layout, dtype = _layout(images), str(images.dtype).removeprefix("torch.")
    if options.input_type not in (None, dtype):
        raise ValueError(f"input_type {options.input_type!r}: the sample input is {dtype}; leave one of them out")
    if options.classes is not None and only:
        raise ValueError("classes: they are chosen where peaks are found, and raw_maps='only' leaves no peaks")
    labels = None if options.classes is None else chosen_labels(network, options.classes)
    if options.letterbox and images.dtype != torch.uint8:
        raise ValueError(
            f"letterbox: the graph resizes uint8 images, the sample input is {images.dtype}; leave it out, or give "
            "uint8 N×H×W×3"
        )
    names = (*OUTPUTS, *(column.name for column in network.columns))
    if clash := sorted(set(network.map_names) & {INPUT, *names}):
        raise ValueError(f"the head {clash[0]!r} has the name of an input or output; name it otherwise in model.heads")
    class_names = tuple(network.class_names or ())
    maps = network.map_names if options.raw_maps else ()
    own = SCORE_THRESHOLD if network.calibration is None else network.calibration.score_threshold
    threshold = own if options.score_threshold is None else options.score_threshold
    metadata = ModelMetadata(
        class_names=class_names if labels is None else tuple(class_names[label] for label in labels),
        preprocessing=network.preprocessing,
        stride=network.stride,
        num_detections=options.num_detections or network.num_detections or NUM_DETECTIONS,
        dtype=dtype,  # type: ignore[arg-type] # `_layout` knows no others
        layout=layout,
        letterbox=options.letterbox,
        outputs=maps if only else (*names, *maps),
        columns=() if only else network.columns,
        maps=maps,
        precision=options.precision,
        score_threshold=threshold,
        calibration=network.calibration,
        tracker=dict(network.tracker),
        figures=dict(options.figures or {}),
        lineage=network.lineage,
    )
    twin = detached(network)
    twin.backbone.simplify(gather=gather)
    return Prepared(twin, metadata, torch.cat([images, images])[:2].to("cpu").contiguous(), options, labels)


def chosen_labels(network: Network, names: Sequence[str]) -> tuple[int, ...]:
    """Return the labels of some classes, in the network's order; a ValueError where it cannot look for these alone."""
    labels = tuple(sorted(set(class_labels(names, network.class_names or ()))))
    if not labels or not network.takes_labels:
        reason = f"the head {network.finder!r} finds all classes" if labels else "give the names of one or more"
        raise ValueError(f"classes: {reason}")
    return labels


class DetectionGraph(nn.Module):
    """images → `bboxes`, `labels`, `scores`, columns and raw maps as the metadata's `outputs` say: a tuple.

    With a letterbox, `shrink` is that of the format; see `Letterbox`.
    """

    def __init__(self, prepared: Prepared, shrink: Shrink | None = None) -> None:
        super().__init__()
        self.network, self.metadata = prepared.network, prepared.metadata
        assert (shrink is not None) == self.metadata.letterbox
        self.letterbox = None if shrink is None else Letterbox(self.network.preprocessing, shrink)
        self.dtype = next(self.network.parameters()).dtype
        self.labels = prepared.labels
        if prepared.labels is not None:  # the file counts its own classes
            numbers = torch.zeros(self.network.num_classes, dtype=torch.int64)
            numbers[list(prepared.labels)] = torch.arange(len(prepared.labels))
            self.register_buffer("numbers", numbers, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs for images as the metadata say."""
        metadata = self.metadata
        if metadata.dtype == "uint8" and metadata.layout == "NCHW":
            images = images.permute(0, 2, 3, 1)
        canvas = images
        if self.letterbox is not None:
            canvas, scale, shift, limits = self.letterbox(images)
        if metadata.dtype == "uint8":
            canvas = self.network.normalize(canvas.permute(0, 3, 1, 2))
        encoded = self.network(canvas.to(self.dtype))
        if not metadata.decoded:
            named = self.network.named_maps(encoded)
            return tuple(named[name].float() for name in metadata.outputs)
        if self.letterbox is not None:
            return self.decode(encoded, limits, (scale, shift))
        planes = metadata.dtype == "float32" and metadata.layout == "NCHW"
        limits = image_size(images.permute(0, 2, 3, 1) if planes else images, torch.float32).flip(0).repeat(2)
        return self.decode(encoded, limits)

    def decode(
        self, encoded: dict[str, Any], limits: Tensor, place: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Compute the outputs from the raw maps; `limits` x y x y of boxes, and scale and shift of a letterbox."""
        metadata = self.metadata
        named = self.network.named_maps(encoded) if metadata.maps else {}
        maps = {name: named[name].float() for name in metadata.maps}
        some: dict[str, Any] = {} if self.labels is None else {"labels": self.labels}
        found = self.network.decode_detections(encoded, metadata.num_detections, **some)
        if self.labels is not None:
            found["labels"] = self.numbers[found["labels"]]  # type: ignore[index]
            finder = self.network.finder
            for name in maps:
                if name == finder or name.rpartition("_")[0] == finder:
                    maps[name] = maps[name][:, list(self.labels)]
        if place is not None:
            found = self._to_original(found, *place)
        found["bboxes"] = torch.minimum(found["bboxes"].clamp(min=0), limits)
        tensors = found | maps
        return tuple(tensors[name] for name in metadata.outputs)

    def _to_original(self, found: dict[str, Tensor], scale: Tensor, shift: Tensor) -> dict[str, Tensor]:
        """Move boxes, and what else lies in input pixels, to the pixels of the images."""
        moved = {"bboxes": (found["bboxes"] - shift) / scale}
        for column in self.metadata.columns:
            values = found[column.name]
            if column.kind == "boxes":
                moved[column.name] = (values - shift) / scale
            elif column.kind == "points":  # behind x and y there may be more, which stays
                places = (values[..., :2] - shift[:2]) / scale[:2]
                moved[column.name] = torch.cat([places, values[..., 2:]], dim=-1)
        return found | moved


def detached(network: Network) -> Network:
    """Return a copy on the processor, in evaluation mode, without what only losses need."""
    twin: Network = copy.deepcopy(network)
    for head in twin.every_head:
        for name in head.training_only:
            setattr(head, name, None)
    return twin.to("cpu").float().requires_grad_(False).eval()


def lower(prepared: Prepared) -> None:
    """Convert the network to the file's precision, but for the ends of heads: neighbouring scores must not be equal."""
    network, dtype = prepared.network, DTYPES.get(prepared.metadata.precision, torch.float32)
    for part in (network.backbone, network.neck, network.heads):
        part.to(dtype)
        for module in part.modules():
            if isinstance(module, OutputConv):
                module.float()


def fold_batch_norms(network: Network) -> None:
    """Multiply each batch norm into the convolution before it, for formats whose readers don't do so themselves.

    Which convolution that is shows while the network runs once: its output is the norm's input. A norm of which that
    cannot be said stays.
    """
    made: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensors are kept, so that no other gets their id
    follows: dict[Any, Any] = {}  # norm → convolution
    calls: Counter[nn.Module] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[module] += 1
        if type(module) is not nn.BatchNorm2d:
            made[id(output)] = (module, output)
        elif id(inputs[0]) in made:
            follows[module] = made[id(inputs[0])][0]

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    side = 4 * network.backbone.out_strides[-1]
    with torch.no_grad():
        network(torch.zeros(1, 3, side, side, dtype=next(network.parameters()).dtype))
    for hook in hooks:
        hook.remove()
    parents = {child: (parent, name) for parent in network.modules() for name, child in parent.named_children()}
    for norm, convolution in follows.items():
        transposed = isinstance(convolution, nn.ConvTranspose2d)
        if calls[norm] == calls[convolution] == 1 and not (transposed and convolution.groups > 1):
            statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            convolution.weight, convolution.bias = nn.utils.fuse_conv_bn_weights(
                convolution.weight, convolution.bias, *statistics, transpose=transposed
            )
            parent, name = parents[norm]
            setattr(parent, name, nn.Identity())


def _layout(images: Tensor) -> Layout:
    """Return the order of the axes of a sample input."""
    if images.ndim == 4 and len(images) and images.dtype == torch.uint8 and 3 in (images.shape[1], images.shape[3]):
        return "NHWC" if images.shape[3] == 3 else "NCHW"
    if images.ndim == 4 and len(images) and images.dtype == torch.float32 and images.shape[1] == 3:
        return "NCHW"
    raise ValueError(
        "the sample input must be float32 N×3×H×W (normalised), or uint8 N×H×W×3 or N×3×H×W (RGB values of images), "
        f"got {images.dtype} {'×'.join(map(str, images.shape))}"
    )
