"""Deformable convolutions in ONNX files: by GridSample, or as the operator DeformConv where it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from centernet import build_centernet
from centernet.export import ExportOptions, export
from centernet.inference.opening import open_runtime
from centernet.network.layers import DeformableConv
from tests.conftest import CONFIG


def model(convolution: str) -> Any:
    section = CONFIG["model"] | {
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
        "neck": {"class_path": "FPN", "init_args": {"width": 16, "convolution": convolution}},
    }
    built = build_centernet({"model": section}).eval()
    for layer in built.modules():
        if isinstance(layer, DeformableConv):
            torch.nn.init.normal_(layer.conv_offset_mask.weight, std=0.05)
    for head in built.network.every_head:
        torch.nn.init.normal_(head.layers[-1].weight, std=0.3)
    return built


def test_both_forms_find_the_same(tmp_path: Path) -> None:
    """Each file is compared with the network as it is written; here the two, on an image of another size."""
    built = model("deformable")
    image = np.random.default_rng(0).integers(0, 256, (1, 75, 110, 3), dtype=np.uint8)
    found, used = [], []
    for asked in (False, True):
        path = export(built.network, tmp_path / f"{asked}.onnx", ExportOptions(deform_conv=asked))
        graph = onnx.load(path)
        used.append(({node.op_type for node in graph.graph.node}, graph.opset_import[0].version))
        found.append(open_runtime(path)(image, 50))
    (sampled, opset), (kept, newer) = used
    assert "GridSample" in sampled and "DeformConv" not in sampled and opset == 18
    assert "DeformConv" in kept and "GridSample" not in kept and newer == 19
    np.testing.assert_allclose(found[0]["scores"], found[1]["scores"], atol=1e-5)
    np.testing.assert_allclose(found[0]["bboxes"], found[1]["bboxes"], atol=1e-2)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="opset=18: DeformConv came with 19"):
        ExportOptions(deform_conv=True, opset=18)
    with pytest.raises(ValueError, match="the model has no deformable convolution"):
        export(model("normal").network, tmp_path / "model.onnx", ExportOptions(deform_conv=True))
    with pytest.raises(ValueError, match="deform_conv belongs to the format onnx"):
        export(model("deformable").network, tmp_path / "model.pt", ExportOptions(deform_conv=True))
