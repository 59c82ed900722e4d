"""ONNX graphs in older versions of the operators than torch writes, which begin with 18."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from centernet.extras import require

AXES = {
    **dict.fromkeys(("Squeeze", "Unsqueeze", "ReduceSum"), 13),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2"), 18),
}
"""Operator → the version from which on its axes are an input. Before, they are an attribute."""


def lower_opset(model: Any, opset: int) -> None:
    """Write an `onnx.ModelProto` of version 18 in an older one, in place.

    Raises:
        ValueError: an operator came later; the message says which version has them all.
    """
    onnx = require("onnx", "ONNX export")
    _lower(model.graph, opset, {})
    for entry in model.opset_import:
        entry.version = opset if entry.domain == "" else entry.version
    needed = {node.op_type: _since(node.op_type) for node in _nodes(model.graph)}
    name, least = max(needed.items(), key=lambda item: item[1])
    if least > opset:
        raise ValueError(f"opset={opset}: this model's {name} came with {least}; give {least} or more")
    onnx.checker.check_model(model)


def set_ir_version(model: Any) -> None:
    """Give a model the oldest form of file that has its operators, which the most programs read."""
    onnx = require("onnx", "ONNX export")
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]  # came with version 10


def _since(operator: str) -> int:
    """Return the version that an operator came with."""
    onnx = require("onnx", "ONNX export")
    return min(
        (schema.since_version for schema in onnx.defs.get_all_schemas_with_history()
         if schema.name == operator and schema.domain == ""), default=0,
    )  # fmt: skip


def _attributes(operator: str, opset: int, given: Collection[str]) -> Collection[str]:
    """Return the attributes that an operator has in a version; torch gives later ones the values of what was before."""
    onnx = require("onnx", "ONNX export")
    if _since(operator) > opset:
        return given
    return set(onnx.defs.get_schema(operator, opset).attributes)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _lower(graph: Any, opset: int, outer: dict[str, Any]) -> None:
    """Rewrite the nodes of a graph; `outer` has the constants around it."""
    onnx = require("onnx", "ONNX export")
    constants = outer | {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        kind, given = node.op_type, {attribute.name: attribute for attribute in node.attribute}
        if kind == "Constant" and "value" in given:
            constants[node.output[0]] = given["value"].t
        if kind == "Constant" and "value_ints" in given:
            values = given["value_ints"].ints
            constants[node.output[0]] = onnx.helper.make_tensor("", onnx.TensorProto.INT64, [len(values)], values)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _lower(attribute.g, opset, constants)
        if opset < AXES.get(kind, 0) and len(node.input) > 1:
            if node.input[1]:
                axes = onnx.numpy_helper.to_array(constants[node.input[1]]).ravel().tolist()
                node.attribute.append(onnx.helper.make_attribute("axes", axes))
            del node.input[1:]
        if kind == "Shape" and opset < 15 and given:
            start, end = (given[name].i if name in given else value for name, value in (("start", 0), ("end", 2**31)))
            whole, ends = f"{node.output[0]}.whole", [f"{node.output[0]}.{name}" for name in ("start", "end")]
            nodes.append(onnx.helper.make_node("Shape", node.input, [whole]))
            for name, value in zip(ends, (start, end), strict=True):
                graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [1], [value]))
            node = onnx.helper.make_node("Slice", [whole, *ends], node.output)
        kept = [attribute for attribute in node.attribute if attribute.name in _attributes(kind, opset, given)]
        del node.attribute[:]
        node.attribute.extend(kept)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
