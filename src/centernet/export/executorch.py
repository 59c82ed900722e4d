"""ExecuTorch: a `.pte` program for phones and boards, with the network on XNNPACK's kernels."""

from __future__ import annotations

from pathlib import Path

import torch

from centernet.export.graph import DetectionGraph, Prepared
from centernet.export.one_image import converting, one_image
from centernet.extras import require
from centernet.inference.model_metadata import KEY


def write(prepared: Prepared, path: Path) -> None:
    """Write a detector for ExecuTorch: the method `forward`, which gives the metadata's `outputs` in their order.

    The method `centernet`, without inputs, gives the metadata.
    """
    exir = require("executorch.exir", "ExecuTorch export")
    backend = require("executorch.backends.xnnpack.partition.xnnpack_partitioner", "ExecuTorch export")
    prepared = one_image(prepared)
    with converting("executorch"):
        program = torch.export.export(DetectionGraph(prepared).eval(), (prepared.images,), strict=False)
        lowered = exir.to_edge_transform_and_lower(
            program,
            partitioner=[backend.XnnpackPartitioner()],
            constant_methods={KEY: prepared.metadata.to_json()},
        )
        path.write_bytes(lowered.to_executorch().buffer)
