"""ONNX: one file, with the decode in its graph, for any number and size of images."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centernet.export.graph import DetectionGraph, Prepared, lower
from centernet.export.opset import lower_opset, set_ir_version
from centernet.export.options import DEFORM_OPSET, OPSET
from centernet.export.quantize import quantize
from centernet.extras import require
from centernet.inference.exported_torch_runtime import quietly
from centernet.inference.model_metadata import INPUT, KEY
from centernet.network.layers import DeformableConv


def write(prepared: Prepared, path: Path) -> None:
    """Write a detector as an ONNX file, in integers where its precision is int8."""
    if prepared.metadata.precision != "int8":
        lower(prepared)
        save(prepared, graph_of(prepared), path)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "float32.onnx"
        save(prepared, graph_of(prepared), source)
        save(prepared, quantize(source, prepared), path)


def save(prepared: Prepared, model: Any, path: Path) -> None:
    """Write an `onnx.ModelProto` with the metadata of a detector, and check its form."""
    onnx = require("onnx", "ONNX export")
    onnx.helper.set_model_props(model, {KEY: prepared.metadata.to_json()})
    set_ir_version(model)
    # The shapes between are the exporter's guesses where the letterbox is concerned; readers infer them.
    del model.graph.value_info[:]
    onnx.save(model, path)
    onnx.checker.check_model(str(path))  # with the path, as weights may lie beside it


def graph_of(prepared: Prepared, *, branches: bool = True) -> Any:
    """Return a detector as `onnx.ModelProto`; a ValueError where the version of the operators does not do.

    With `branches` small images pass by what shrinks large ones.
    """
    metadata, as_operator = prepared.metadata, prepared.options.deform_conv
    opset = prepared.options.opset or (DEFORM_OPSET if as_operator else OPSET)
    if as_operator:
        _keep_deformable(prepared)
    height, width = (1, 2) if metadata.layout == "NHWC" else (2, 3)
    open_dims = {axis: torch.export.Dim.DYNAMIC for axis in (0, height, width)}
    shrink = _shrink_large if branches else _shrink
    graph = DetectionGraph(prepared, shrink if metadata.letterbox else None).eval()
    with quietly(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (prepared.images,),
            input_names=[INPUT],
            output_names=list(metadata.outputs),
            dynamic_shapes=(open_dims,),
            opset_version=max(opset, OPSET),
            custom_translation_table=_translations(as_operator),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the lines of source that made it, with their paths on this machine
    model = program.model_proto
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions.get("", 0) != max(opset, OPSET):
        raise ValueError(f"opset={opset}: this model cannot be written in it, but in {versions.get('')}")
    if opset < OPSET:
        lower_opset(model, opset)
    _name_axes(model, {0: "batch", height: "height", width: "width"}, metadata.maps)
    return model


def _keep_deformable(prepared: Prepared) -> None:
    """Let the deformable convolutions of a network be one operator in its graph."""
    layers = [layer for layer in prepared.network.modules() if isinstance(layer, DeformableConv)]
    if not layers:
        raise ValueError("deform_conv: the model has no deformable convolution; leave it out")
    for layer in layers:
        layer.as_operator = True


def _translations(deformable: bool) -> dict[Any, Any]:
    """Return the operators of torch's graphs that are said in ONNX's here."""
    table: dict[Any, Any] = {torch.ops.centernet.shrink.default: _onnx_shrink}
    if deformable:
        import torchvision.ops  # noqa: F401 - registers the operator

        table[torch.ops.torchvision.deform_conv2d.default] = _onnx_deform_conv
    return table


def _onnx_deform_conv(x: Any, weight: Any, offset: Any, mask: Any, bias: Any, *numbers: Any) -> Any:
    """Say torchvision's deformable convolution in ONNX's: both have (dy, dx) of each tap, row by row."""
    stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x, groups, offset_groups, _ = numbers
    op = require("onnxscript", "ONNX export").opset19
    return op.DeformConv(
        x, weight, offset, bias, mask, strides=[stride_y, stride_x], pads=[pad_y, pad_x, pad_y, pad_x],
        dilations=[dilation_y, dilation_x], group=groups, offset_group=offset_groups,
    )  # fmt: skip


def _name_axes(model: Any, of_input: Mapping[int, str], maps: Sequence[str]) -> None:
    """Name the open axes of inputs and outputs for those who look at the file."""
    for port in (*model.graph.input, *model.graph.output):
        of_output = {2: "map_height", 3: "map_width"} if port.name in maps else {1: "detections"}
        for axis, name in ({0: "batch", **of_output} if port.name != INPUT else of_input).items():
            dim = port.type.tensor_type.shape.dim[axis]
            if not dim.HasField("dim_value"):
                dim.dim_param = name


def _shrink(images: Tensor, hw: Tensor, wanted: Tensor) -> Tensor:
    """Average over areas in a graph; a size that is wanted already stays."""
    return torch.ops.centernet.shrink(images, wanted)  # type: ignore[no-any-return]


def _shrink_large(images: Tensor, hw: Tensor, wanted: Tensor) -> Tensor:
    """Do the same, but without a computation where the size stays."""
    branches = (torch.ops.centernet.shrink, lambda images, _: images.float())
    return torch.cond((hw > wanted).any(), *branches, (images, wanted))  # type: ignore[no-any-return]


@torch.library.custom_op("centernet::shrink", mutates_args=())
def _traced_shrink(images: Tensor, wanted: Tensor) -> Tensor:
    """Stand for `_onnx_shrink` while a graph is made. torch knows no shapes that are values: it is told the old one."""
    return torch.empty_like(images, dtype=torch.float32)


_traced_shrink.register_fake(lambda images, wanted: torch.empty_like(images, dtype=torch.float32))


def _onnx_shrink(images: Any, wanted: Any) -> Any:
    """Say `letterbox.shrink` in ONNX's operators."""
    op, kind = require("onnxscript", "ONNX export").opset18, require("onnx", "ONNX export").TensorProto

    def numbers(*values: int) -> Any:
        return op.Constant(value_ints=list(values))

    def part(values: Any, i: int) -> Any:
        return op.Slice(values, numbers(i), numbers(i + 1))

    def area_sums(images: Any, count: Any) -> Any:  # N×L×A×3 → N×count×A×3
        shape = op.Shape(images)
        length, zero, one = part(shape, 1), numbers(0), numbers(1)
        rest = op.Min(op.Mod(length, count), one)
        taps = op.Add(op.Div(op.Sub(op.Add(length, count), one), count), rest)
        cell = op.Unsqueeze(op.Range(op.Squeeze(zero), op.Squeeze(count), op.Squeeze(one)), one)
        tap = op.Range(op.Squeeze(zero), op.Squeeze(taps), op.Squeeze(one))
        pixel = op.Add(op.Div(op.Mul(cell, length), count), tap)  # count×taps
        ends = op.Min(op.Mul(op.Add(pixel, one), count), op.Mul(op.Add(cell, one), length))
        share = op.Sub(ends, op.Max(op.Mul(pixel, count), op.Mul(cell, length)))
        share = op.Where(op.Greater(op.Mul(share, numbers(1000)), count), share, zero)
        part_of = op.Div(op.Cast(share, to=kind.FLOAT), op.Cast(count, to=kind.FLOAT))
        # OpenVINO divides by a product with the reciprocal: x / x need not be 1.
        weights = op.Where(op.Equal(share, count), op.Constant(value_float=1.0), part_of)
        at = op.Reshape(op.Min(pixel, op.Sub(length, one)), numbers(-1))
        taken = op.Reshape(op.Gather(images, at, axis=1), op.Concat(part(shape, 0), count, taps, numbers(-1), axis=0))
        sums = op.MatMul(op.Unsqueeze(weights, one), op.Cast(taken, to=kind.FLOAT))
        return op.Reshape(sums, op.Concat(part(shape, 0), count, part(shape, 2), numbers(3), axis=0))

    def transpose(images: Any) -> Any:
        return op.Transpose(images, perm=[0, 2, 1, 3])

    rows, columns = part(wanted, 0), part(wanted, 1)
    hw = op.Shape(images, start=1, end=3)
    sums = transpose(area_sums(transpose(area_sums(images, rows)), columns))
    pixels, cells = op.ReduceProd(hw), op.ReduceProd(wanted)
    quotient = op.Div(op.Cast(pixels, to=kind.DOUBLE), op.Cast(cells, to=kind.DOUBLE))
    exact = op.Equal(op.Mod(pixels, cells), numbers(0))
    area = op.Where(exact, op.Cast(op.Div(pixels, cells), to=kind.FLOAT), op.Cast(quotient, to=kind.FLOAT))
    averages = op.Mul(sums, op.Reciprocal(area))
    halves = op.Cast(op.Equal(op.Mul(wanted, numbers(2)), hw), to=kind.INT32)
    exact_half = op.Cast(op.ReduceMin(halves), to=kind.BOOL)
    up = op.Floor(op.Add(averages, op.Constant(value_float=0.5)))
    return op.Where(exact_half, up, op.Round(averages))
