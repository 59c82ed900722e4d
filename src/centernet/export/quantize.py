"""8-bit integers in place of floats: two to four times as fast on processors with instructions for them.

The network is quantised: activations by the range that they have on calibration pictures, weights by channel. The first
step (normalising), the last convolution of each head and the decode stay in float, as boxes and scores need the digits.
Activations are unsigned and weights signed, which onnxruntime's kernels are fastest at; `convert_to_openvino`
makes an OpenVINO file of the result.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from centernet.export.graph import quietly
from centernet.export.onnx import metadata_of, read_onnx
from centernet.extras import require
from centernet.images import list_images, read_image
from centernet.inference.exported import network_input, preprocessing_of
from centernet.inference.model_metadata import INPUT, KEY, ModelMetadata

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

ONNX_OPERATORS = (
    "Conv",
    "Add",
    "Mul",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Concat",
    "Resize",
    "Relu",
    "Clip",
)
"""Those that onnxruntime has in integers, or that hand integers on."""


def calibration_inputs(
    folder: str | PathLike[str], metadata: ModelMetadata, *, count: int
) -> Iterator[NDArray[np.generic]]:
    """Inputs of a file for up to `count` pictures of a folder (subfolders too), evenly spaced by name, one by one.

    Raises:
        ImageError: no such folder, no picture in it, or one that cannot be read.
    """
    if count < 1:
        raise ValueError(f"calibration: expected at least 1 picture, got {count}")
    files = list_images(folder, recursive=True)
    preprocessing = preprocessing_of(metadata)
    step = max(1, len(files) // count)
    for file in files[::step][:count]:
        yield network_input(preprocessing(read_image(file))[None], metadata)


def quantize_onnx(
    source: str | PathLike[str], path: str | PathLike[str], calibration: str | PathLike[str], *, count: int = 200
) -> Path:
    """An int8 form (static, QDQ) of an ONNX file that `export_onnx` wrote.

    Args:
        source: the float32 file.
        path: of the file to write.
        calibration: folder of pictures like those that the model will see; labels are not needed.
        count: how many of them are used; ranges settle after one or two hundred.

    Raises:
        ImportError: onnx or onnxruntime isn't installed.
        ValueError: `source` is no float32 file of `export_onnx`.
    """
    onnx = require("onnx", "int8 export")
    quantization = require("onnxruntime.quantization", "int8 export")
    model = read_onnx(source)
    metadata = metadata_of(model, source)
    if metadata.precision != "float32":
        raise ValueError(f"{source}: is already in {metadata.precision}; quantise the float32 file")
    inner = _inner([(node.name, node.op_type, list(node.input), list(node.output)) for node in model.graph.node])
    inputs = calibration_inputs(calibration, metadata, count=count)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, NDArray[np.generic]] | None:
            array = next(inputs, None)
            return None if array is None else {INPUT: array}

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, quietly("root", "onnxruntime"):
        prepared = Path(folder) / "prepared.onnx"
        quantization.quant_pre_process(str(source), prepared, skip_symbolic_shape=True, skip_optimization=True)
        quantization.quantize_static(
            prepared,
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(ONNX_OPERATORS),
            nodes_to_quantize=inner,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
    written = onnx.load(path)
    onnx.helper.set_model_props(written, {KEY: replace(metadata, precision="int8").to_json()})
    del written.graph.value_info[:]
    onnx.checker.check_model(written)
    onnx.save(written, path)
    logger.info("%s: int8 for %d of %d operators", path.name, len(inner), len(model.graph.node))
    return path


def _inner(nodes: Sequence[tuple[str, str, Sequence[str], Sequence[str]]]) -> list[str]:
    """Names of the operators between the first convolution and the last ones of the heads, without these.

    Args:
        nodes: name, operator, inputs and outputs of each, in an order in which they can run.
    """
    after: set[str] = set()  # values that a convolution has a part in
    behind: list[str] = []
    for name, kind, inputs, outputs in nodes:
        if kind == "Conv" or after.intersection(inputs):
            after.update(outputs)
            behind.append(name)
    before: set[str] = set()  # values that a convolution is still to read
    inner: set[str] = set()
    for name, kind, inputs, outputs in reversed(nodes):
        if before.intersection(outputs):
            inner.add(name)
        if kind == "Conv" or before.intersection(outputs):
            before.update(inputs)
    return [name for name in behind if name in inner]
