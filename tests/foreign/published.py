"""Weights by rule for the networks whose names and shapes of tensors are known; see the README beside the files."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet.export import ExportOptions, export
from centernet.inference.exported import open_session
from centernet.network import Network

MASKED = ("conv_offset_mask", "conv_offset", "offset_mask_conv")
OFFSETS = (*MASKED, "offset_conv", "modulator_conv")


def description(shared: Path, network: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((shared / f"data/oracles/upstream/checkpoints/{network}.json").read_text())
    return content


def state_dict(shared: Path, network: str) -> dict[str, Tensor]:
    content = description(shared, network)
    keys = content["keys"]
    return {key: torch.from_numpy(value(key, shape, keys, content["rule"]["g"])) for key, shape in keys.items()}


def value(key: str, shape: list[int], keys: dict[str, Any], g: float) -> Any:
    layer, _, last = key.rpartition(".")
    if last == "num_batches_tracked":
        return np.zeros((), np.int64)
    n = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if last in ("running_mean", "bias"):
        n = 0.1 * n
    elif last == "running_var":
        n = 1 + 0.1 * np.abs(n)
    elif len(shape) == 1:
        n = 1 + 0.1 * n
    else:
        fan = 4 * shape[1] if len(shape) == 4 and shape[2] % 2 == 0 else np.prod(shape[1:])
        modulated = (
            any(f"{place}.{kind}.weight" in keys for place in (layer, layer.removesuffix(".dcnv2")) for kind in MASKED)
            and last == "weight"
        )
        n = (2 if modulated else 1) * n * np.sqrt((0.02 if any(kind in key for kind in OFFSETS) else g) / fan)
    return n.astype(np.float32)


def images(size: tuple[int, int] = (128, 128)) -> Tensor:
    shape = (1, 3, *size)
    generator = np.random.default_rng(zlib.crc32(f"input:{'x'.join(map(str, shape))}".encode()))
    return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))


def arrays(path: Path) -> dict[str, Any]:
    """All arrays of a file, which is closed again."""
    with np.load(path) as file:
        return dict(file)


def gaps_of_files(network: Network, image: Tensor, folder: Path) -> dict[str, float]:
    """Runtime → the largest difference of its raw maps from the network's own, as a share of a map's deviation."""
    openvino = pytest.importorskip("openvino")
    options = ExportOptions(raw_maps="only", input_type="float32")
    path = export(network, folder / "model.onnx", options, torch.cat([image] * 2))
    with torch.inference_mode():
        expected = {key: value.numpy() for key, value in network.named_maps(network(image)).items()}
    found = open_session(path).run([*expected], {"images": image.numpy()})
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([image.numpy()])
    both = {"ONNX": dict(zip(expected, found, strict=True)), "OpenVINO": {key: compiled[key] for key in expected}}
    return {
        runtime: max(float(np.abs(got[key] - value).max() / value.std()) for key, value in expected.items())
        for runtime, got in both.items()
    }
