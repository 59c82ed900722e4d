"""`ExportOptions`: how a detector is written to a file. The command `centernet export` takes its options from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from centernet.inference.model_metadata import Precision

OPSETS = range(18, 24)
"""Versions of ONNX's operators that a file can be written in. onnxruntime since 1.14 reads 18, since 1.17 reads 20."""


@dataclass(frozen=True)
class ExportOptions:
    """Options of `export`.

    Attributes:
        num_detections: rows an image; images of fewer cells give fewer.
        score_threshold: stands in the file, for programs that show detections.
        letterbox: resize and pad inside the graph: images of any size in, boxes in their own pixels out.
        raw_maps: the maps of the heads as further outputs, by the heads' names.
        precision: of the network; inputs, outputs and decode stay as they are. float16: half the size, for graphics
            cards and browsers. bfloat16: for processors with units for it. int8: 8-bit integers; needs `calibrate`.
        calibrate: folder of images like those that the model will see, on which the ranges of int8 are measured; labels
            are not needed.
        calibration_images: at most so many of them are used; ranges settle after one or two hundred.
        opset: of onnx: version of its operators, 18 to 23; default: 18.
        compile: of pt2: compile for this machine by AOTInductor; needs a C++ compiler.
        figures: stand in the file, such as ``{"AP": 0.37}``.

    Raises:
        ValueError: a value out of range.
    """

    num_detections: int = 100
    score_threshold: float = 0.3
    letterbox: bool = False
    raw_maps: bool = False
    precision: Precision = "float32"
    calibrate: Path | None = None
    calibration_images: int = 200
    opset: int | None = None
    compile: bool = False
    figures: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name in ("num_detections", "calibration_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.score_threshold <= 1:
            raise ValueError(f"score_threshold: expected 0..1, got {self.score_threshold}")
        if self.opset is not None and self.opset not in OPSETS:
            raise ValueError(f"opset={self.opset}: expected one from {OPSETS.start} to {OPSETS.stop - 1}")
