"""The options of an export, and the formats of files. Without torch: the command reads its help from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from centernet.inference.model_metadata import Precision

OPSETS = range(13, 24)
"""Versions of ONNX's operators that a file can be written in. The form of the file is the oldest that has them."""

OPSET = 18
"""The version that is written unless another is asked for: onnxruntime since 1.14 reads it."""

DEFORM_OPSET = 19
"""The version that DeformConv came with."""


@dataclass(frozen=True)
class ExportOptions:
    """The way in which a detector is written to a file.

    Attributes:
        num_detections: rows an image; default: the model's own.
        score_threshold: stands in the file, for programs that show detections, and is the default there of
            `centernet detect`; default: that of the model's calibration, by class, else 0.3.
        letterbox: resize and pad inside the graph: images of any size in, boxes in their own pixels out.
        classes: names of the classes that the file finds; others take no rows. Default: all.
        raw_maps: the maps of the heads as further outputs, by the heads' names. "only": in place of the decode, for
            programs that decode themselves.
        input_type: uint8: RGB values of images N×H×W×3. float32: normalised N×3×H×W. Default: that of the sample, else
            uint8, but float32 where the maps are the only outputs.
        precision: of the network; inputs, outputs and decode stay as they are. float16: half the size, for graphics
            cards and browsers. bfloat16: for processors with units for it. int8: 8-bit integers; needs `calibrate`.
        calibrate: folder of images like those that the model will see, on which the ranges of int8 are measured; labels
            are not needed.
        calibration_images: at most so many of them are used; ranges settle after one or two hundred.
        opset: of onnx: version of its operators, 13 to 23, older ones for older programs; default: 18.
        deform_conv: of onnx: write deformable convolutions as its operator DeformConv, which few programs have (opset
            19); default: by GridSample, which gives the same numbers everywhere.
        compile: of pt2: compile for this machine by AOTInductor; needs a C++ compiler.
        figures: stand in the file, such as ``{"AP": 0.37}``.

    Raises:
        ValueError: a value out of range.
    """

    num_detections: int | None = None
    score_threshold: float | None = None
    letterbox: bool = False
    classes: Sequence[str] | None = None
    raw_maps: bool | Literal["only"] = False
    input_type: Literal["uint8", "float32"] | None = None
    precision: Precision = "float32"
    calibrate: str | Path | None = None
    calibration_images: int = 200
    opset: int | None = None
    deform_conv: bool = False
    compile: bool = False
    figures: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name in ("num_detections", "calibration_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if self.score_threshold is not None and not 0 <= self.score_threshold <= 1:
            raise ValueError(f"score_threshold: expected 0..1, got {self.score_threshold}")
        if self.opset is not None and self.opset not in OPSETS:
            raise ValueError(f"opset={self.opset}: expected one from {OPSETS.start} to {OPSETS.stop - 1}")
        if self.deform_conv and self.opset is not None and self.opset < DEFORM_OPSET:
            raise ValueError(f"opset={self.opset}: DeformConv came with {DEFORM_OPSET}; leave out one of the two")
        if self.raw_maps == "only" and self.letterbox:
            raise ValueError(
                "letterbox: it takes boxes back to the image's pixels, and raw_maps='only' leaves no boxes"
            )


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    suffix: str  # by which `centernet.inference.opening.RUNTIMES` opens it
    module: str  # of this room, whose `write(prepared, path)` writes it
    precisions: tuple[str, ...]
    options: tuple[str, ...] = ()  # those of `ExportOptions` that not every format has
    packages: tuple[str, ...] = ()  # needed beside torch
    beside: tuple[str, ...] = ()  # suffixes of the files that lie beside the named one, in place of its last suffix
    gather: bool = True  # whether it can take channels by a list of their numbers
    checked: bool = True  # False where no runtime opens it on the system that writes it


FLOATS = ("float32", "float16", "bfloat16")
ONNX = ("onnx", "onnxscript", "onnxruntime")
FORMATS = {
    "onnx": Format(".onnx", "onnx", ("float32", "float16", "int8"), ("letterbox", "opset", "deform_conv"), ONNX),
    "torchscript": Format(".pt", "torchscript", FLOATS, ("letterbox",)),
    "pt2": Format(".pt2", "pt2", FLOATS, ("compile",)),
    "openvino": Format(".xml", "openvino", (*FLOATS, "int8"), ("letterbox",), (*ONNX, "openvino"), (".bin",)),
    "litert": Format(".tflite", "litert", ("float32",), packages=("litert_torch", "ai_edge_litert")),
    "coreml": Format(".mlpackage", "coreml", ("float32", "float16"), packages=("coremltools",), checked=False),
    "ncnn": Format(
        ".ncnn.param",
        "ncnn",
        ("float32", "float16"),
        (),
        ("pnnx", "ncnn", *ONNX),
        (".bin", ".json", ".onnx"),
        gather=False,
    ),
    "executorch": Format(".pte", "executorch", ("float32",), packages=("executorch",), checked=False),
}


def format_of(path: Path) -> str:
    """Return the name of the format whose files have this suffix."""
    for name, kind in FORMATS.items():
        if path.name.lower().endswith(kind.suffix):
            return name
    expected = ", ".join(f"{kind.suffix} ({name})" for name, kind in FORMATS.items())
    raise ValueError(f"{path}: no format has files with the suffix {path.suffix!r}; expected one of {expected}")


def check_options(format: str, options: ExportOptions) -> None:
    """Check that a format has what the options ask for; a ValueError names the option, and what has it."""
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    for name in sorted({name for kind in FORMATS.values() for name in kind.options}):
        having = [other for other, kind in FORMATS.items() if name in kind.options]
        if getattr(options, name) and format not in having:
            raise ValueError(f"{name} belongs to the format {' or '.join(having)}, not {format}")
    precisions = FORMATS[format].precisions
    if options.precision not in precisions:
        raise ValueError(f"precision {options.precision!r}: {format} is exported in {', '.join(precisions)}")
    if (options.precision == "int8") != (options.calibrate is not None):
        raise ValueError("int8 and calibrate, a folder of images, go together: ranges are measured on images")
