"""The network and its decode as one graph, for files that other runtimes read."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from centernet.models.centernet import CenterNet

NAMES = ("bboxes", "labels", "scores")


class DetectionGraph(nn.Module):
    """Images → (bboxes N×K×4 in input pixels, labels N×K int64, scores N×K).

    Args:
        model: the detector.
        num_detections: K.
    """

    def __init__(self, model: CenterNet, num_detections: int) -> None:
        super().__init__()
        # The parts, not the LightningModule: tracers read every attribute, and its trainer is not there to be read.
        self.parts = nn.ModuleList([model.backbone, model.neck, model.heads])
        self.run = model.forward
        self.decode = model.decode_detections
        self.num_detections = num_detections

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        detections = self.decode(self.run(images), self.num_detections)
        return tuple(detections[name] for name in NAMES)


def write_onnx(
    model: CenterNet, path: str | PathLike[str], images: Tensor | None = None, *, num_detections: int = 100
) -> Path:
    """Write `DetectionGraph` as ONNX, dynamic in batch, for the height and width of `images`.

    Class names and preprocessing are in the file's metadata as JSON.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX export needs the extra `onnx`: pip install 'centernet[onnx]'") from error
    path = Path(path)
    images = _sample(model, images)
    with _for_export(model), torch.no_grad():
        program = torch.onnx.export(
            DetectionGraph(model, num_detections).eval(),
            (torch.cat([images, images])[:2],),  # a batch of 2: one of 1 would be taken for a constant
            input_names=["images"],
            output_names=list(NAMES),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path, external_data=False)
    written = onnx.load(path)
    metadata = {
        "class_names": json.dumps(list(model.class_names or ())),
        "preprocessing": json.dumps(model.preprocessing.to_dict()),
        "stride": str(model.stride),
    }
    onnx.helper.set_model_props(written, metadata)
    onnx.checker.check_model(written)
    onnx.save(written, path)
    return path


def write_torchscript(
    model: CenterNet, path: str | PathLike[str] | None, images: Tensor | None = None, *, num_detections: int = 100
) -> torch.jit.ScriptModule:
    """Trace `DetectionGraph` at the size of `images`, and save it where `path` is given."""
    images = _sample(model, images)
    with _for_export(model), torch.no_grad():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            DetectionGraph(model, num_detections).eval(), images
        )
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            torch.jit.save(traced, str(path))
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


def _sample(model: CenterNet, images: Tensor | None) -> Tensor:
    if images is None:
        images = torch.zeros(1, 3, *model.preprocessing.size)
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(f"the sample input must be float N×3×H×W, got {images.dtype} {tuple(images.shape)}")
    return images.to(model.device)


@contextlib.contextmanager
def _for_export(model: CenterNet) -> Iterator[None]:
    """Evaluation mode, and neither the exporter's progress nor its deprecation notices shown to the user."""
    training = model.training
    model.eval()
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
        model.train(training)
