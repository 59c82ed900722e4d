"""8-bit integers in place of floats: two to four times as fast on processors with instructions for them.

The network is quantised: activations by the range that they have on calibration images, weights by channel. The first
step (normalising), the last convolution of each head and the decode stay in float, as boxes and scores need the digits;
so do separable convolutions without norm and activation between their two: each channel there has a range of its own,
and of one range for all of them those with small values have few steps.
Activations are unsigned and weights signed, which onnxruntime's kernels are fastest at.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from centernet.export.graph import Prepared
from centernet.extras import require
from centernet.images import ImageError, list_images, read_image
from centernet.inference.exported import network_input, preprocessing_of
from centernet.inference.exported_torch_runtime import quietly
from centernet.inference.model_metadata import INPUT

logger = logging.getLogger(__name__)

OPERATORS = ["Conv", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Resize", "Relu", "Clip"]
"""Those that onnxruntime has in integers, or that hand integers on."""


def calibration_inputs(prepared: Prepared, failed: list[ImageError]) -> Iterator[NDArray[Any]]:
    """Yield inputs of a file: images of `options.calibrate`, evenly spaced by name.

    Args:
        prepared: the network, and the options.
        failed: gets the errors of the images that cannot be read, which are left out.

    Raises:
        ImageError: the folder has no images, or none that can be read.
    """
    options, metadata = prepared.options, prepared.metadata
    files = list_images(str(options.calibrate), recursive=True)
    chosen = files[:: max(1, len(files) // options.calibration_images)][: options.calibration_images]
    preprocessing = preprocessing_of(metadata)
    for file in chosen:
        try:
            image = read_image(file)
        except ImageError as error:
            failed.append(error)
        else:
            yield network_input(preprocessing(image)[None], metadata)
    if len(failed) == len(chosen):
        text = f"{options.calibrate}: none of the {len(chosen)} images for the calibration can be read; the first"
        raise ImageError(f"{text}: {failed[0]}")


def quantize(source: Path, prepared: Prepared) -> Any:
    """Return the int8 form (static, QDQ) of the float32 ONNX file of a detector, as `onnx.ModelProto`."""
    onnx = require("onnx", "int8 export")
    quantization = require("onnxruntime.quantization", "int8 export")
    failed: list[ImageError] = []
    inputs = calibration_inputs(prepared, failed)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            array = next(inputs, None)
            return None if array is None else {INPUT: array}

    nodes = list(onnx.load(source).graph.node)
    inner = _inner(nodes)
    with tempfile.TemporaryDirectory() as folder, quietly():
        simplified, quantized = Path(folder) / "simplified.onnx", Path(folder) / "int8.onnx"
        quantization.quant_pre_process(str(source), simplified, skip_symbolic_shape=True, skip_optimization=True)
        quantization.quantize_static(
            simplified,
            quantized,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            nodes_to_quantize=inner,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        model = onnx.load(quantized)
    for error in failed:
        warnings.warn(f"left out of the calibration, 1 of {len(failed)}: {error}", stacklevel=3)
    logger.info("int8 for %d of %d operators", len(inner), len(nodes))
    return model


def _inner(nodes: Sequence[Any]) -> list[str]:
    """Return the names of the operators between the first convolution and the last ones of the heads, without these."""
    after: set[str] = set()  # values that a convolution has a part in
    behind = []
    for node in nodes:
        if node.op_type == "Conv" or after.intersection(node.input):
            after.update(node.output)
            behind.append(node.name)
    before: set[str] = set()  # values that a convolution is still to read
    inner: set[str] = set()
    for node in reversed(nodes):
        if before.intersection(node.output):
            inner.add(node.name)
        if node.op_type == "Conv" or before.intersection(node.output):
            before.update(node.input)
    return _worth_it(nodes, inner.intersection(behind) - _linear_separable(nodes))


def _linear_separable(nodes: Sequence[Any]) -> set[str]:
    """Return the names of depthwise convolutions whose values go straight to convolutions, and of the latter.

    Where a norm was between them it is in the former now, which has a bias of it.
    """
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    depthwise = {
        node.output[0]: node.name
        for node in convolutions
        if len(node.input) == 2 and any(entry.name == "group" and entry.i > 1 for entry in node.attribute)
    }
    pairs = [(depthwise[node.input[0]], node.name) for node in convolutions if node.input[0] in depthwise]
    return {name for pair in pairs for name in pair}


def _worth_it(nodes: Sequence[Any], quantised: set[str]) -> list[str]:
    """Return the names without operators between convolutions in float, which would lose digits for nothing."""
    maker = {output: node for node in nodes for output in node.output}
    read: set[str] = set()  # values that what is quantised reads
    kept = []
    for node in reversed(nodes):
        before = maker.get(node.input[0]) if node.input else None
        ends = node.op_type in ("Relu", "Clip") and before is not None and before.op_type == "Conv"
        ends = ends and before is not None and before.name in quantised  # a part of the convolution
        if node.name in quantised and (node.op_type == "Conv" or ends or read.intersection(node.output)):
            kept.append(node.name)
            read.update(node.input)
    return kept[::-1]
