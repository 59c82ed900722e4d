"""TorchScript: a traced graph for libtorch and for `torch.jit.load`, without this package."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from centernet.export.check import check_file
from centernet.export.graph import DetectionGraph, Prepared, detached, fold_batch_norms, prepare, quietly
from centernet.inference.model_metadata import KEY, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.network import Network


def export_torchscript(
    model: Network,
    path: str | PathLike[str] | None,
    images: Tensor | None = None,
    *,
    num_detections: int = 100,
    letterbox: bool = False,
    raw_maps: bool = False,
    precision: Precision = "float32",
    score_threshold: float = 0.3,
    figures: Mapping[str, float] | None = None,
) -> torch.jit.ScriptModule:
    """Trace a detector, run it against the model, and write it where `path` is given.

    The file gives a tuple in the order of the metadata's `outputs`; the metadata is its extra file `centernet.json`.
    Arguments as of `export_onnx`; `precision` may be `bfloat16` too.

    Raises:
        ValueError: a sample or precision that no file has, or a graph that finds something else than the model.
    """
    if precision == "int8":
        raise ValueError("precision='int8': TorchScript is exported in float32, float16 or bfloat16")
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
    fold_batch_norms(prepared.model)
    traced = _trace(prepared)
    check_file(Path(path or "TorchScript"), prepared, detached(model), lambda array: _run(traced, prepared, array))
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with quietly():
            torch.jit.save(traced, str(path), _extra_files={f"{KEY}.json": prepared.metadata.to_json()})
    return traced


def _trace(prepared: Prepared) -> torch.jit.ScriptModule:
    with quietly():
        reduce: Any = torch.jit.script(_reduce) if prepared.metadata.letterbox else None
        graph = DetectionGraph(prepared.model, prepared.metadata, reduce).eval()
        traced = torch.jit.trace(graph, prepared.images, check_trace=False)  # type: ignore[no-untyped-call]
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


def _run(traced: torch.jit.ScriptModule, prepared: Prepared, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    with quietly():
        values = traced(torch.from_numpy(array))
    return {name: value.numpy() for name, value in zip(prepared.metadata.outputs, values, strict=True)}


def _reduce(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compiled, not traced: a picture that is small enough stays as it is."""
    height, width = int(rows), int(columns)
    if images.size(1) == height and images.size(2) == width:
        return images
    planes = images.permute(0, 3, 1, 2).float()
    reduced = F.interpolate(planes, [height, width], mode="bilinear", antialias=True)
    return reduced.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
