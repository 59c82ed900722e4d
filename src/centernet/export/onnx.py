"""ONNX: one file, with the decode in its graph, for any number and size of pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from centernet.export.check import check_file
from centernet.export.graph import DetectionGraph, Prepared, detached, prepare, quietly
from centernet.extras import require
from centernet.inference.model_metadata import INPUT, KEY, ModelMetadata, Precision
from centernet.inference.onnx_runtime import open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.network import Network

logger = logging.getLogger(__name__)

OPSETS = range(18, 24)
"""Versions of ONNX's operators that a file can be written in. onnxruntime since 1.14 reads 18, since 1.17 reads 20."""

DEFAULT_OPSET = 18


def export_onnx(
    model: Network,
    path: str | PathLike[str],
    images: Tensor | None = None,
    *,
    num_detections: int = 100,
    letterbox: bool = False,
    raw_maps: bool = False,
    precision: Precision = "float32",
    opset: int = DEFAULT_OPSET,
    score_threshold: float = 0.3,
    figures: Mapping[str, float] | None = None,
) -> Path:
    """Write a detector as an ONNX file, check it, and run it against the model.

    Needs the extra `export`.

    Args:
        model: the detector.
        path: of the file.
        images: a sample input, which decides type and layout: uint8 N×H×W×3 or N×3×H×W (RGB values, normalised in the
            graph), or float32 N×3×H×W (normalised, what the model itself takes). uint8 N×H×W×3 when None. The file
            takes any number and size of pictures.
        num_detections: K rows an image; pictures of fewer cells give fewer.
        letterbox: the graph resizes and pads by the model's preprocessing: pictures of any size in, boxes in their own
            pixels out.
        raw_maps: the maps of the heads follow the detections, by the heads' names.
        precision: `float32`, or `float16` for graphics cards and browsers: half the size; scores change in the third
            digit. Inputs, outputs, the ends of the heads and the decode stay in float32.
        opset: version of ONNX's operators, one of `OPSETS`.
        score_threshold: stands in the metadata, for who shows detections.
        figures: stand in the metadata, such as `{"AP": 0.37}`; those of the model's last validation when None.

    Returns:
        The path written. Inputs, outputs and metadata: `centernet.inference.model_metadata`.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime isn't installed.
        ValueError: a sample, opset or precision that no file has, or a file that finds something else than the model.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "ONNX export")
    if opset not in OPSETS:
        raise ValueError(f"opset={opset}: expected one from {OPSETS.start} to {OPSETS.stop - 1}")
    if precision not in ("float32", "float16"):
        raise ValueError(f"precision={precision!r}: an ONNX file is exported in float32 or float16; see quantize_onnx")
    prepared = prepare(
        model,
        images,
        num_detections=num_detections,
        letterbox=letterbox,
        raw_maps=raw_maps,
        precision=precision,
        score_threshold=score_threshold,
        figures=figures,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(prepared, path, opset)
    check_file(path, prepared, detached(model), lambda array: run_onnx(path, array))
    return path


def run_onnx(path: Path, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Outputs of a file by name, on one thread of the processor."""
    session = open_session(path, threads=1)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: images}), strict=True))


def write_graph(prepared: Prepared, path: Path, opset: int = DEFAULT_OPSET) -> None:
    """Write what `prepare` gave, with its metadata, and check its form."""
    import onnx

    metadata = prepared.metadata
    height, width = (1, 2) if metadata.layout == "NHWC" else (2, 3)
    open_dims = {axis: torch.export.Dim.DYNAMIC for axis in (0, height, width)}
    graph = DetectionGraph(prepared.model, metadata, _reduce if metadata.letterbox else None).eval()
    with quietly("torch.onnx", "onnxscript", "onnx_ir"):
        program = torch.onnx.export(
            graph,
            (prepared.images,),
            input_names=[INPUT],
            output_names=list(metadata.outputs),
            dynamic_shapes=(open_dims,),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    written = program.model_proto
    versions = {entry.domain: entry.version for entry in written.opset_import}
    if versions.get("", 0) != opset:
        raise ValueError(f"opset={opset}: this model cannot be written in it, but in {versions.get('')}")
    # The shapes between are the exporter's guesses where the letterbox is concerned; readers infer them.
    del written.graph.value_info[:]
    for axis, name in {0: "batch", height: "height", width: "width"}.items():
        written.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.helper.set_model_props(written, {KEY: metadata.to_json()})
    onnx.checker.check_model(written)
    onnx.save(written, path)


def read_onnx(path: str | PathLike[str]) -> Any:
    """An ONNX file as `onnx.ModelProto`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or no ONNX file.
    """
    onnx = require("onnx", "reading an ONNX file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's, and the checker's, have no common base but this
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"{path}: cannot be read as an ONNX file ({reason}); is it whole, and one?") from error
    return model


def metadata_of(model: Any, path: str | PathLike[str]) -> ModelMetadata:
    """What an `onnx.ModelProto` says of itself.

    Raises:
        ValueError: this package did not write it.
    """
    text = {entry.key: entry.value for entry in model.metadata_props}.get(KEY)
    if text is None:
        raise ValueError(f"{path}: another program wrote the file; export the model anew, and give what that writes")
    return ModelMetadata.from_json(text, source=str(path))


def _reduce(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """ONNX's resizing with a triangle filter; it copies where the size stays. Only in graphs: there is no such in torch
    for sizes that are values."""
    planes = images.permute(0, 3, 1, 2)
    count, channels, height, width = planes.shape
    shape = torch.onnx.ops.symbolic("Shape", (planes,), dtype=torch.int64, shape=(4,))
    sizes = torch.cat([shape[:2], torch.stack([rows, columns])])
    reduced = torch.onnx.ops.symbolic(
        "Resize",
        (planes, None, None, sizes),
        {"mode": "linear", "antialias": 1, "coordinate_transformation_mode": "half_pixel"},
        dtype=torch.uint8,
        shape=(count, channels, height, width),
    )
    return reduced.permute(0, 2, 3, 1)
