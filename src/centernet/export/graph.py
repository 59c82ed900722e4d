"""The whole detector as one graph: pictures in, boxes out. What every format writes."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from centernet.export.letterbox import Letterbox, Reduce, picture_size
from centernet.inference.model_metadata import OUTPUTS, ModelMetadata, Precision
from centernet.network.layers import OutputConv

if TYPE_CHECKING:
    from centernet.network import Network

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class DetectionGraph(nn.Module):
    """images → `bboxes`, `labels`, `scores`, what other heads add, and raw maps where asked for: a tuple.

    Args:
        model: a copy that is the graph's own; see `prepare`.
        metadata: says what goes in and comes out.
        reduce: of the letterbox, in the format's own way; see `Letterbox`.
    """

    def __init__(self, model: Network, metadata: ModelMetadata, reduce: Reduce | None = None) -> None:
        super().__init__()
        self.network = model
        self.register_buffer("mean", model.get_buffer("_mean").clone(), persistent=False)
        self.register_buffer("std", model.get_buffer("_std").clone(), persistent=False)
        self.dtype = next(model.parameters()).dtype
        self.metadata = metadata
        assert (reduce is not None) == metadata.letterbox
        self.letterbox = None if reduce is None else Letterbox(model.preprocessing, reduce)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures as `metadata` says → tensors in the order of its `outputs`."""
        canvas, metadata = images, self.metadata
        if metadata.layout == "NCHW" and self.letterbox is not None:
            images = canvas = images.permute(0, 2, 3, 1)
        if self.letterbox is not None:
            canvas, scale, shift = self.letterbox(images)
        if metadata.layout == "NHWC" or self.letterbox is not None:
            canvas = canvas.permute(0, 3, 1, 2)
        if metadata.dtype == "uint8":
            canvas = (canvas.float() - self.mean) / self.std  # type: ignore[operator]
        encoded = self.network(canvas.to(self.dtype))
        found = self.network.decode_detections(encoded, metadata.num_detections)
        if self.letterbox is not None:
            limits = picture_size(images).flip(0).repeat(2).float()
            boxes = (found["bboxes"] - shift.float()) / scale.float()
            first, second = boxes[..., :2], boxes[..., 2:]  # a network may say that a width is negative
            boxes = torch.cat([torch.minimum(first, second), torch.maximum(first, second)], dim=-1)
            found["bboxes"] = torch.minimum(boxes.clamp(min=0), limits)
        tensors = found | {name: encoded[name].float() for name in metadata.maps}
        return tuple(tensors[name] for name in metadata.outputs)


@dataclass(frozen=True)
class Prepared:
    """A model ready to be written.

    Attributes:
        model: a copy without its trainer and what only losses need, in evaluation mode and the file's precision.
        metadata: what the file will say of itself.
        images: a sample input, two pictures.
    """

    model: Network
    metadata: ModelMetadata
    images: Tensor


def prepare(
    model: Network,
    images: Tensor | None,
    *,
    num_detections: int,
    letterbox: bool,
    raw_maps: bool,
    precision: Precision,
    score_threshold: float = 0.3,
    figures: Mapping[str, float] | None = None,
) -> Prepared:
    """A copy of the model as it goes into a file, and the file's metadata. Arguments as of `export_onnx`.

    Raises:
        ValueError: a sample input that no graph takes; a model whose decode no graph can hold.
    """
    if num_detections < 1:
        raise ValueError(f"num_detections: expected at least 1, got {num_detections}")
    if images is None:
        images = torch.zeros(1, *model.preprocessing.output_size((512, 512)), 3, dtype=torch.uint8)
    model = getattr(model, "network", model)
    layout = _layout(images)
    if letterbox and images.dtype != torch.uint8:
        raise ValueError(
            f"letterbox: the graph resizes uint8 pictures, the sample input is {images.dtype}; leave it out, or give "
            "uint8 N×H×W×3"
        )
    twin = detached(model)
    twin.backbone.simplify()
    _check_names(twin)
    maps = tuple(twin.heads) if raw_maps else ()
    metadata = ModelMetadata(
        class_names=tuple(model.class_names or ()),
        preprocessing=model.preprocessing,
        stride=model.stride,
        num_detections=num_detections,
        dtype="uint8" if images.dtype == torch.uint8 else "float32",
        layout=layout,
        letterbox=letterbox,
        outputs=(*OUTPUTS, *(column.name for column in twin.columns), *maps),
        columns=twin.columns,
        maps=maps,
        precision=precision,
        score_threshold=score_threshold,
        tracker=dict(model.tracker),
        figures=dict(figures or {}),
    )
    lower(twin, DTYPES.get(precision, torch.float32))
    return Prepared(twin, metadata, torch.cat([images, images])[:2].to("cpu").contiguous())


def detached(model: Network) -> Network:
    """Return a copy on the processor, in evaluation mode, without what only losses need."""
    twin: Network = copy.deepcopy(getattr(model, "network", model))
    for head in twin.heads.values():
        for name in getattr(head, "training_only", ()):
            setattr(head, name, None)
    return twin.to("cpu").float().requires_grad_(False).eval()


def lower(model: Network, dtype: torch.dtype) -> None:
    """Convert the network; the ends of its heads stay in float32, as neighbouring scores must not become equal."""
    for part in (model.backbone, model.neck, model.heads):
        part.to(dtype)
        for module in part.modules():
            if isinstance(module, OutputConv):
                module.float()


def fold_batch_norms(model: Network) -> None:
    """Multiply each batch norm into the convolution before it, for formats whose readers don't do so themselves.

    Which convolution that is shows while the network runs once: its output is the norm's input. A norm of which that
    cannot be said stays.
    """
    made: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensors are kept, so that no other gets their id
    follows: dict[nn.Module, nn.Module] = {}
    calls: Counter[nn.Module] = Counter()

    def convolved(module: nn.Module, _: Any, output: Tensor) -> None:
        made[id(output)] = (module, output)
        calls[module] += 1

    def normalizes(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls[module] += 1
        if id(inputs[0]) in made:
            follows[module] = made[id(inputs[0])][0]

    hooks: list[Any] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.ConvTranspose2d) and module.groups == 1):
            hooks.append(module.register_forward_hook(convolved))
        elif type(module) is nn.BatchNorm2d:
            hooks.append(module.register_forward_pre_hook(normalizes))
    side = 4 * model.backbone.out_strides[-1]
    with torch.no_grad():
        model(torch.zeros(1, 3, side, side, dtype=next(model.parameters()).dtype))
    for hook in hooks:
        hook.remove()
    parents = {child: (parent, name) for parent in model.modules() for name, child in parent.named_children()}
    for norm, convolution in follows.items():
        if calls[norm] == calls[convolution] == 1:
            _fold(convolution, norm)
            parent, name = parents[norm]
            setattr(parent, name, nn.Identity())


def _fold(convolution: Any, norm: Any) -> None:
    """Source: https://arxiv.org/abs/1502.03167, section 3.1, solved for one affine map."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    axis = 1 if isinstance(convolution, nn.ConvTranspose2d) else 0
    shape = [-1 if i == axis else 1 for i in range(4)]
    bias = 0 if convolution.bias is None else convolution.bias
    convolution.weight = nn.Parameter(convolution.weight * scale.view(shape), requires_grad=False)
    convolution.bias = nn.Parameter((bias - norm.running_mean) * scale + norm.bias, requires_grad=False)


def trial_images(count: int, size_hw: tuple[int, int], *, seed: int = 0) -> Tensor:
    """Something like photographs: soft shapes under fine detail. uint8 N×H×W×3."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size_hw
    coarse = torch.rand(count, 3, 6, 8, generator=generator)
    soft = nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    detail = torch.rand(count, 3, height, width, generator=generator) - 0.5
    return ((soft + 0.2 * detail) * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@contextlib.contextmanager
def quietly(*loggers: str) -> Iterator[None]:
    """Without the deprecation notices and progress of the exporters, which are of no use to who exports."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _layout(images: Tensor) -> Any:
    if images.ndim == 4 and len(images) and images.dtype == torch.uint8 and 3 in (images.shape[1], images.shape[3]):
        return "NHWC" if images.shape[3] == 3 else "NCHW"
    if images.ndim == 4 and len(images) and images.dtype == torch.float32 and images.shape[1] == 3:
        return "NCHW"
    raise ValueError(
        "the sample input must be float32 N×3×H×W (normalised), or uint8 N×H×W×3 or N×3×H×W (RGB values of pictures), "
        f"got {images.dtype} {'×'.join(map(str, images.shape))}"
    )


def _check_names(model: Network) -> None:
    clash = sorted(set(model.heads) & {"images", *OUTPUTS, *(column.name for column in model.columns)})
    if clash:
        raise ValueError(f"the head {clash[0]!r} has the name of an input or output; name it otherwise in model.heads")
