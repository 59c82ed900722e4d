"""OpenVINO: the intermediate representation, an `.xml` with a `.bin` beside it, from the ONNX graph."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from centernet.export.check import check_file
from centernet.export.graph import Prepared, detached, prepare, quietly
from centernet.export.onnx import metadata_of, read_onnx, write_graph
from centernet.extras import require
from centernet.inference.model_metadata import INPUT, KEY, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.network import Network

HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int8": "f32"}
"""OpenVINO's `INFERENCE_PRECISION_HINT` for a file's precision: without it a processor that has bf16 would use it."""


def export_openvino(
    model: Network,
    path: str | PathLike[str],
    images: Tensor | None = None,
    *,
    num_detections: int = 100,
    letterbox: bool = False,
    raw_maps: bool = False,
    precision: Precision = "float32",
    score_threshold: float = 0.3,
    figures: Mapping[str, float] | None = None,
) -> Path:
    """Write a detector for OpenVINO, and run it against the model.

    Needs the extras `export` and `openvino`. The metadata is the runtime information `centernet` of the file. Arguments
    as of `export_onnx`.

    Args:
        precision: `float32`; `bfloat16`: the same file, whose metadata ask for bf16: half the time where a processor
            has units for it; `float16`: weights of half the size, computed in what the device is best at.

    Raises:
        ImportError: OpenVINO or what ONNX export needs isn't installed.
        ValueError: a path that doesn't end in `.xml`; otherwise as of `export_onnx`.
    """
    for package in ("onnx", "onnxscript", "openvino"):
        require(package, "OpenVINO export")
    path = _xml(path)
    if precision == "int8":
        raise ValueError("precision='int8': write an ONNX file, quantize_onnx it, and convert_to_openvino that")
    prepared = prepare(
        model,
        images,
        num_detections=num_detections,
        letterbox=letterbox,
        raw_maps=raw_maps,
        precision="float32",  # of the graph: lower precisions are OpenVINO's doing
        score_threshold=score_threshold,
        figures=figures,
    )
    prepared = replace(prepared, metadata=replace(prepared.metadata, precision=precision))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        write_graph(prepared, source)
        convert_to_openvino(source, path)
    check_file(path, prepared, detached(model), lambda array: run_openvino(path, prepared, array))
    return path


def convert_to_openvino(source: str | PathLike[str], path: str | PathLike[str]) -> Path:
    """An OpenVINO form of an ONNX file that `export_onnx` or `quantize_onnx` wrote, in its precision.

    Raises:
        ImportError: OpenVINO or onnx isn't installed.
        FileNotFoundError, ValueError: no such file; a damaged or foreign one; a path that doesn't end in `.xml`.
    """
    openvino = require("openvino", "OpenVINO export")
    path = _xml(path)
    metadata = metadata_of(read_onnx(source), source)
    with quietly():
        graph = openvino.convert_model(source)
    graph.set_rt_info(metadata.to_json(), [KEY])
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(graph, path, compress_to_fp16=metadata.precision == "float16")
    return path


def _xml(path: str | PathLike[str]) -> Path:
    if Path(path).suffix.lower() != ".xml":
        raise ValueError(f"{path}: OpenVINO's files are an .xml and a .bin of one name: give a path that ends .xml")
    return Path(path)


def run_openvino(path: Path, prepared: Prepared, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Outputs of a file by name, on one thread of the processor, in the precision that it was exported for."""
    openvino = require("openvino", "OpenVINO export")
    settings = {"INFERENCE_PRECISION_HINT": HINTS[prepared.metadata.precision], "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    values = compiled({INPUT: images})
    return {name: values[name] for name in prepared.metadata.outputs}
