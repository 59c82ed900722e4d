"""A device is named as in other programs; one that is not there is an error that lists those that are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from centernet.inference import Detector
from centernet.inference.devices import device_name
from centernet.inference.exported import _providers


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, None),
        (0, "cuda:0"),
        ("1", "cuda:1"),
        ("cuda:2", "cuda:2"),
        ("cpu", "cpu"),
        ("mps", "mps"),
        ("GPU.1", "GPU.1"),
    ],
)
def test_names_as_people_write_them(given: Any, name: str | None) -> None:
    assert device_name(given) == name


@pytest.mark.parametrize("given", [[0, 1], "0,1", "", -1, True, 1.5, "cuda 0"])
def test_what_is_no_device_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=f"device {re.escape(repr(given))}: expected 'cpu', 'cuda'"):
        device_name(given)


@pytest.mark.parametrize("device", [99, "99", "cuda:99", "xpu:99", "tpu", "hpu:0"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(device: Any) -> None:
    torch = pytest.importorskip("torch")
    for model in ("voc-lite", torch.nn.Identity()):
        if not isinstance(model, str):
            model.decode_detections = None
        with pytest.raises(ValueError, match=r"^device '[a-z]+(:99|:0)?': .*; there (is cpu alone|are cpu, .*)$"):
            Detector(model, device=device)


def test_torchs_own_devices_are_taken() -> None:
    torch = pytest.importorskip("torch")
    detector = Detector("voc-lite", device=torch.device("cpu"))
    assert next(detector.runtime.model.parameters()).device.type == "cpu"  # type: ignore[attr-defined]
    assert device_name(torch.device("cuda", 1)) == "cuda:1"


@pytest.mark.parametrize(
    ("device", "says"), [("mps", "for an ONNX file"), (0, "onnxruntime-gpu"), ("cuda:x", "'cuda:1'")]
)
def test_onnxruntime_says_what_it_has(device: Any, says: str) -> None:
    with pytest.raises(ValueError, match=rf"device {device!r}: .*{says}.*; there is cpu alone"):
        _providers(device, ["CPUExecutionProvider"])
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert _providers(1, both)[0] == ("CUDAExecutionProvider", {"device_id": 1})


def test_openvino_says_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnxscript")
    from centernet.export import export
    from centernet.network import load_network

    path = export(load_network("voc-lite"), tmp_path / "model.xml", format="openvino")
    there = ", ".join(name.lower() for name in openvino.Core().available_devices)
    for device in ("cuda", 7, "gpu.7", "tpu"):
        with pytest.raises(ValueError, match=rf"device .*: OpenVINO cannot run .*; there (is|are) {there}"):
            Detector(path, device=device)
    assert Detector(path, device="CPU").class_names


def test_the_command_says_it_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from PIL import Image

    from centernet.cli.main import main

    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert main(["detect", str(tmp_path / "a.png"), "--device", "99", "--output", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err
    assert "device 'cuda:99'" in error and "there " in error and "fault of centernet" not in error
