"""Core ML: an `.mlpackage` for iOS 16, macOS 13 and later. It is written on any system, and runs on Apple's alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from centernet.export.graph import DetectionGraph, Prepared
from centernet.export.one_image import converting, one_image
from centernet.extras import require
from centernet.inference.model_metadata import INPUT, KEY

ATEN = torch.ops.aten


def write(prepared: Prepared, path: Path) -> None:
    """Write a detector for Core ML. The metadata is `centernet` of the model's user-defined metadata.

    The input is an RGB image of the sample's size (a `CVPixelBuffer`, as Vision makes it), normalised in the graph; a
    float32 sample makes it an array of normalised values. The graph computes in float32, or in float16 up to the last
    convolutions.
    """
    tools = require("coremltools", "Core ML export")
    half = prepared.metadata.precision == "float16"
    stated = prepared.metadata
    prepared = one_image(replace(prepared, metadata=replace(stated, precision="float32")))
    images, metadata = prepared.images, replace(prepared.metadata, precision=stated.precision)
    kinds = {"labels": np.int32}
    options: dict[str, Any] = {
        "outputs": [tools.TensorType(name=name, dtype=kinds.get(name, np.float32)) for name in metadata.outputs],
        "minimum_deployment_target": tools.target.iOS16,
        "compute_precision": tools.precision.FLOAT32,
    }
    if half:
        options["compute_precision"] = tools.transform.FP16ComputePrecision(op_selector=_before_last_convolutions())
    if metadata.dtype == "uint8":
        images = (images.permute(0, 3, 1, 2) if metadata.layout == "NHWC" else images).float().contiguous()
        metadata = replace(metadata, layout="NCHW")
        color = tools.colorlayout.RGB
        options["inputs"] = [tools.ImageType(name=INPUT, shape=tuple(images.shape), color_layout=color)]
    with converting("coremltools"):
        graph = DetectionGraph(replace(prepared, metadata=metadata)).eval()
        program = torch.export.export(graph, (images,), strict=False).run_decompositions()
        _simplify(program.graph)
        model = tools.convert(program, **options)
        model.user_defined_metadata[KEY] = metadata.to_json()
        model.save(str(path))


def _simplify(graph: Any) -> None:
    """Change in a program of `torch.export` what coremltools has no form for: aliases, and indices that are floats."""
    for node in list(graph.nodes):
        if node.target == ATEN.alias.default:
            node.replace_all_uses_with(node.args[0])
        elif node.target == ATEN.gather.default:
            with graph.inserting_before(node):
                index = graph.call_function(ATEN._to_copy.default, (node.args[2],), {"dtype": torch.int32})
            index.meta = dict(node.args[2].meta)
            node.update_arg(2, index)
        if node.target in (ATEN.alias.default, ATEN._assert_tensor_metadata.default):
            graph.erase_node(node)


def _before_last_convolutions() -> Callable[[Any], bool]:
    """Return what says of an operation whether a convolution is still to read its values: those are the network's."""
    names: set[str] = set()

    def inner(operation: Any) -> bool:
        if not names:
            names.add("")
            for one in reversed(list(operation.enclosing_block.operations)):
                after = [child for output in one.outputs for child in output.child_ops]
                if any(child.name in names or child.op_type.startswith("conv") for child in after):
                    names.add(one.name)
        return operation.name in names

    return inner
