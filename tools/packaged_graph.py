"""The packaged models as ONNX graphs that hold no weights: these stay in `model.safetensors` beside the graph.

make packaged

writes `model.onnx` of each packaged model anew, and the hashes of all packaged files.

The graph is that of an export, but says how its weights come of the
half-precision tensors of the other file, which it names as external data: the channels that are kept, times the factors
of the batch norm. onnxruntime computes that once, when it opens the graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from centernet.export.graph import prepare
from centernet.export.onnx import graph_of, save
from centernet.export.options import ExportOptions
from centernet.extras import require
from centernet.inference.opening import GRAPH
from centernet.network.weights import PACKAGED, WEIGHTS, load_network, packaged_models, recorded_figures

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def write_packaged(name: str, path: Path) -> Path:
    """Write the graph of a packaged model. It is to lie beside the model's weights."""
    prepared = prepare(load_network(name), ExportOptions(figures=recorded_figures(name)))
    model = graph_of(prepared)
    _refer(model, prepared.network.state_dict(), PACKAGED / name / WEIGHTS)
    save(prepared, model, path)
    return path


def _refer(model: Any, state: Mapping[str, Tensor], weights: Path) -> None:
    """Replace the weights of an `onnx.ModelProto` by what makes them of those in a safetensors file.

    Args:
        model: the graph of a network, which may have multiplied batch norms into weights.
        state: of the network, which may lack channels of the stored one.
        weights: the file.
    """
    onnx = require("onnx", "ONNX export")
    graph, kind = model.graph, onnx.TensorProto
    nodes = []

    def add(operator: str, source: str, name: str, operand: NDArray[Any] | None = None, **attributes: int) -> str:
        """Add a node between a stored tensor and a weight. Operands of equal values are one."""
        inputs = [source]
        if operand is not None:
            inputs.append(f"{operator}.{hashlib.sha256(operand.tobytes()).hexdigest()[:12]}")
            if inputs[1] not in (tensor.name for tensor in graph.initializer):
                graph.initializer.append(onnx.numpy_helper.from_array(operand, inputs[1]))
        nodes.append(onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    for name, (offset, whole) in _stored(weights).items():
        tensor = next((tensor for tensor in graph.initializer if tensor.name == f"network.{name}"), None)
        if tensor is None:
            continue
        plain = state[name].numpy()
        kept = [_places(plain, whole, axis) for axis in range(whole.ndim)]
        factor = _factor(onnx.numpy_helper.to_array(tensor), plain)
        if factor is None or not np.array_equal(plain, whole[np.ix_(*kept)].astype(np.float32)):
            continue
        graph.initializer.remove(tensor)
        source = f"{name}.stored"
        stored = kind(name=source, dims=whole.shape, data_type=kind.FLOAT16, data_location=kind.EXTERNAL)
        for key, value in {"location": weights.name, "offset": offset, "length": whole.nbytes}.items():
            stored.external_data.add(key=key, value=str(value))
        graph.initializer.append(stored)
        for axis, index in enumerate(kept):
            if not np.array_equal(index, np.arange(whole.shape[axis])):
                source = add("Gather", source, f"{name}.kept.{axis}", index, axis=axis)
        if (factor == 1).all():
            add("Cast", source, tensor.name, to=kind.FLOAT)
        else:
            add("Mul", add("Cast", source, f"{name}.float32", to=kind.FLOAT), tensor.name, factor)
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)


def _stored(weights: Path) -> dict[str, tuple[int, NDArray[np.float16]]]:
    """Return where in a safetensors file each half-precision tensor begins, and the tensor."""
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    entries = {name: entry for name, entry in json.loads(content[8:start]).items() if entry.get("dtype") == "F16"}
    return {
        name: (start + begin, np.frombuffer(content[start + begin : start + end], np.float16).reshape(entry["shape"]))
        for name, entry in entries.items()
        for begin, end in [entry["data_offsets"]]
    }


def _factor(values: NDArray[Any], plain: NDArray[Any]) -> NDArray[np.float32] | None:
    """Return by what each line of `plain` was multiplied to give `values`; None where it was not."""
    lines, products = (array.reshape(len(array), -1) for array in (plain, values))
    largest = np.abs(lines).argmax(axis=1)[:, None]
    divisor = np.take_along_axis(lines, largest, 1)
    factor = np.take_along_axis(products, largest, 1) / np.where(divisor == 0, 1, divisor)
    if values.shape != plain.shape or not np.allclose(lines * factor, products, rtol=1e-5, atol=1e-9):
        return None
    return factor.astype(np.float32).reshape(-1, *[1] * (plain.ndim - 1))


def _places(values: NDArray[Any], whole: NDArray[Any], axis: int) -> NDArray[np.int32]:
    """Return which lines of `whole` along an axis `values` has, in their order; all where it cannot be said."""
    lines, stored = (
        np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float32) for array in (values, whole)
    )
    if lines.shape[1] != stored.shape[1]:  # two axes have other channels: those of this one are found by their sums
        return np.arange(len(stored), dtype=np.int32)
    found: dict[bytes, list[int]] = {}
    for i, line in enumerate(stored):
        found.setdefault(line.tobytes(), []).append(i)
    places = [found.get(line.tobytes(), []) for line in lines]
    if not all(places):
        return np.arange(len(stored), dtype=np.int32)
    return np.array([place.pop(0) if len(place) > 1 else place[0] for place in places], np.int32)


def write_sums() -> None:
    """Write the hashes of all packaged files, by which they are known when they are opened."""
    files = sorted(path for path in PACKAGED.glob("*/*") if path.is_file())
    sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(PACKAGED)}\n" for path in files)
    (PACKAGED / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    write_sums()  # of weights and configurations that have changed
    for model_name in packaged_models():
        written = write_packaged(model_name, PACKAGED / model_name / GRAPH)
        print(f"wrote {written} ({written.stat().st_size / 1e3:.0f} kB)")
    write_sums()
