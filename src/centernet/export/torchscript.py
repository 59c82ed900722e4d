"""TorchScript: a traced graph for libtorch and for `torch.jit.load`, without this package."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from centernet.export.graph import DetectionGraph, Prepared, fold_batch_norms, lower
from centernet.export.letterbox import shrink
from centernet.inference.exported_torch_runtime import quietly
from centernet.inference.model_metadata import KEY
from centernet.whole import write_bytes


def write(prepared: Prepared, path: Path) -> None:
    """Trace a detector and write it; it gives a tuple in the order of the metadata's `outputs`.

    The metadata is the extra file `centernet.json`.
    """
    lower(prepared)
    fold_batch_norms(prepared.network)
    with quietly(), torch.no_grad():
        compiled: Any = torch.jit.script(shrink) if prepared.metadata.letterbox else None
        graph = DetectionGraph(prepared, compiled).eval()
        traced = torch.jit.trace(graph, prepared.images, check_trace=False)  # type: ignore[no-untyped-call]
        buffer = io.BytesIO()  # torch ends the process where its own file cannot be written
        torch.jit.save(traced, buffer, _extra_files={f"{KEY}.json": prepared.metadata.to_json()})
    write_bytes(path, buffer.getbuffer())


def read_script(path: str | PathLike[str]) -> torch.jit.ScriptModule:
    """Load a TorchScript file on the processor, without notices of its deprecation."""
    with quietly():
        module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return module
