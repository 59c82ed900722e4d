"""LiteRT (TensorFlow Lite): a `.tflite` file for Android, iOS, boards and browsers."""

from __future__ import annotations

import io
import zipfile
from contextlib import redirect_stdout
from pathlib import Path

from torch import Tensor, nn

from centernet.export.graph import DetectionGraph, Prepared
from centernet.export.one_image import converting, one_image
from centernet.extras import require
from centernet.inference.model_metadata import INPUT, KEY


class _Named(nn.Module):
    def __init__(self, detector: DetectionGraph) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.detector.metadata.outputs, self.detector(images), strict=True))


def write(prepared: Prepared, path: Path) -> None:
    """Write a detector for LiteRT. Its signature has the names of input and outputs; labels are int32.

    The metadata is the file `centernet.json` of a ZIP archive behind the model, where TensorFlow Lite keeps associated
    files: ``unzip -p model.tflite centernet.json`` prints it.
    """
    litert_torch = require("litert_torch", "LiteRT export")
    prepared = one_image(prepared)
    with converting("litert-torch"), redirect_stdout(io.StringIO()):
        graph = _Named(DetectionGraph(prepared)).eval()
        litert_torch.convert(graph, sample_kwargs={INPUT: prepared.images}).export(str(path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{KEY}.json", prepared.metadata.to_json())
