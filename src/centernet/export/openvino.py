"""OpenVINO: the intermediate representation, an `.xml` with a `.bin` beside it, from the ONNX graph."""

from __future__ import annotations

import tempfile
from pathlib import Path

from centernet.export import onnx
from centernet.export.graph import Prepared
from centernet.export.quantize import quantize
from centernet.extras import require
from centernet.inference.model_metadata import KEY


def write(prepared: Prepared, path: Path) -> None:
    """Write a detector for OpenVINO. The metadata is the runtime information `centernet` of the file.

    The graph is in float32 or int8: `float16` is the weights' form in the file, `bfloat16` is what the metadata ask the
    runtime for.
    """
    openvino = require("openvino", "OpenVINO export")
    precision = prepared.metadata.precision
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        # The first inference of OpenVINO (2026.4) with a branch that hands its input on reads memory of others.
        onnx.save(prepared, onnx.graph_of(prepared, branches=False), source)
        if precision == "int8":
            onnx.save(prepared, quantize(source, prepared), source)
        graph = openvino.Core().read_model(source)  # `openvino.convert_model` reports its use to an address
    graph.set_rt_info(prepared.metadata.to_json(), [KEY])
    openvino.save_model(graph, path, compress_to_fp16=precision == "float16")
