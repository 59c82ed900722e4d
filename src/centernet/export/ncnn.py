"""NCNN: a `.ncnn.param` file with its weights in a `.ncnn.bin`, for phones and boards without other runtimes.

NCNN has no operators for top-k and for reading values at peaks: its graph ends at the raw maps. The decode is an ONNX
graph beside it.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from centernet.export.graph import DetectionGraph, Prepared
from centernet.export.one_image import converting, one_image
from centernet.export.options import OPSET
from centernet.extras import require
from centernet.inference.mobile import decode_of, metadata_of, weights_of
from centernet.inference.model_metadata import INPUT
from centernet.network import Network


class _Maps(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.named_maps(self.network(images)).values())


class _Decode(DetectionGraph):
    def __init__(self, prepared: Prepared) -> None:
        super().__init__(prepared)
        height, width = prepared.sample_hw
        self.register_buffer("limits", torch.tensor([width, height, width, height], dtype=torch.float32))

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        limits: Tensor = self.limits  # type: ignore[assignment]
        return self.decode(self.network.encoded_of(dict(zip(self.network.map_names, maps, strict=True))), limits)


def write(prepared: Prepared, path: Path) -> None:
    """Write a detector for NCNN: `NAME.ncnn.param` and `.ncnn.bin` (input `images`, 3×H×W, float32, normalised; the
    heads' raw maps by name), `NAME.ncnn.json`, the metadata, and `NAME.ncnn.onnx`, from raw maps to detections.

    With `raw_maps="only"` without the last. The sample decides the size alone. Weights are stored in float32 or
    float16; NCNN computes in either as it is told.
    """
    if prepared.options.input_type == "uint8":
        raise ValueError("input_type 'uint8': NCNN's input is float32, normalised (`Mat::from_pixels` makes it)")
    names = prepared.network.map_names
    half = prepared.metadata.precision == "float16"
    decoded = tuple(name for name in prepared.metadata.outputs if name not in names)
    given = replace(prepared.metadata, precision="float32", dtype="float32", layout="NCHW", outputs=decoded, maps=())
    size = prepared.sample_hw
    prepared = one_image(replace(prepared, metadata=given, images=torch.zeros(1, 3, *size)))
    metadata = replace(prepared.metadata, outputs=(*decoded, *names), maps=names)
    metadata = replace(metadata, precision="float16" if half else "float32")
    with tempfile.TemporaryDirectory() as folder, converting("pnnx"):
        source = Path(folder) / "model.pt"
        traced = torch.jit.trace(_Maps(prepared.network).eval(), prepared.images, check_trace=False)  # type: ignore[no-untyped-call]
        traced.save(str(source))
        _convert(source, path, size, half=half)
    _name_blobs(path, [INPUT], "in")
    _name_blobs(path, names, "out")
    if decoded:
        _write_decode(prepared, decode_of(path))
    metadata_of(path).write_text(metadata.to_json(), encoding="utf-8")


def _convert(source: Path, path: Path, size: tuple[int, int], *, half: bool) -> None:
    """Run pnnx; an error where NCNN has no form of an operator."""
    shape = f"inputshape=[1,3,{size[0]},{size[1]}]f32"
    outputs = [f"ncnnparam={path.resolve()}", f"ncnnbin={weights_of(path).resolve()}"]
    command = [require("pnnx", "NCNN export").EXEC_PATH, source.name, shape, f"fp16={int(half)}", *outputs]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=False)
    if done.returncode or not path.is_file():
        raise ValueError((done.stderr.strip() or done.stdout.strip() or "pnnx failed").splitlines()[-1])
    kinds = {line.split()[0] for line in path.read_text(encoding="utf-8").splitlines()[2:] if line.strip()}
    if unknown := sorted(kind for kind in kinds if "." in kind or "::" in kind):
        raise ValueError(f"NCNN has no operators for {', '.join(unknown)}")


def _name_blobs(path: Path, names: Any, prefix: str) -> None:
    """Give inputs or outputs of the graph, which pnnx numbers, their names."""
    text = path.read_text(encoding="utf-8")
    for i, name in enumerate(names):
        text = re.sub(rf"(?<=\s){prefix}{i}(?=\s)", name, text)
    path.write_text(text, encoding="utf-8")


def _write_decode(prepared: Prepared, path: Path) -> None:
    names = list(prepared.network.map_names)
    with torch.no_grad():
        maps = tuple(prepared.network.named_maps(prepared.network(prepared.images)).values())
        with converting("onnxscript"):
            torch.onnx.export(
                _Decode(prepared).eval(),
                maps,
                str(path),
                input_names=names,
                output_names=list(prepared.metadata.outputs),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
