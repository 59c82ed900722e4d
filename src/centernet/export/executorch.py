"""ExecuTorch: a `.pte` program for phones and boards, with the network on XNNPACK's kernels."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from centernet.export.graph import DetectionGraph, Prepared
from centernet.export.one_image import converting, one_image
from centernet.extras import require
from centernet.inference.model_metadata import KEY


def write(prepared: Prepared, path: Path) -> None:
    """Write a detector for ExecuTorch: the method `forward`, which gives the metadata's `outputs` in their order.

    The method `centernet`, without inputs, gives the metadata. The program is lowered in a process of its own.
    It is not run here: the Python runtime of ExecuTorch 1.5.1 ended the process in some trials beside torch 2.14.
    """
    prepared = one_image(prepared)
    with converting("executorch"), tempfile.TemporaryDirectory() as folder:
        program = torch.export.export(DetectionGraph(prepared).eval(), (prepared.images,), strict=False)
        source, text = Path(folder) / "program.pt2", Path(folder) / f"{KEY}.json"
        torch.export.save(program, source)
        text.write_text(prepared.metadata.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "centernet.export.executorch", str(source), str(text), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError((done.stderr.strip() or "ended without a word").splitlines()[-1])


def _lower(source: Path, text: Path, path: Path) -> None:
    exir = require("executorch.exir", "ExecuTorch export")
    backend = require("executorch.backends.xnnpack.partition.xnnpack_partitioner", "ExecuTorch export")
    lowered = exir.to_edge_transform_and_lower(
        torch.export.load(source),
        partitioner=[backend.XnnpackPartitioner()],
        constant_methods={KEY: text.read_text(encoding="utf-8")},
    )
    path.write_bytes(lowered.to_executorch().buffer)


if __name__ == "__main__":
    _lower(*map(Path, sys.argv[1:]))
