"""Programs of torch.export, and packages of AOTInductor."""

from __future__ import annotations

import re
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from centernet import CenterNet
from centernet.export import ExportOptions, export
from centernet.export.comparison import difference, trial_images
from centernet.inference.model_metadata import ModelMetadata


def found_by(model: CenterNet, images: torch.Tensor) -> dict[str, object]:
    with torch.inference_mode():
        encoded = model(model.normalize(images.permute(0, 3, 1, 2)))
        found = {name: value.numpy() for name, value in model.decode_detections(encoded, 20).items()}
    height, width = images.shape[1:3]  # boxes of a file end where the images do
    return found | {"bboxes": found["bboxes"].clip(0, [width, height, width, height])}


def test_a_program_finds_what_the_model_finds(model: CenterNet, tmp_path: Path) -> None:
    sample = torch.zeros(1, 64, 160, 3, dtype=torch.uint8)
    path = export(model.network, tmp_path / "model.pt2", ExportOptions(num_detections=20), sample)
    extra = {"centernet.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path, extra_files=extra).module()
    metadata = ModelMetadata.from_json(extra["centernet.json"], source=str(path))
    assert metadata.preprocessing.size == (64, 160), "images are to become what the program takes"
    images = trial_images(3, (64, 160))
    got = {name: value.detach().numpy() for name, value in zip(metadata.outputs, module(images), strict=True)}
    found = difference(found_by(model, images), got)
    assert found.scores < 1e-4 and found.boxes < 0.05 and not found.unmatched


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler")
def test_a_package_finds_what_the_model_finds(model: CenterNet, tmp_path: Path) -> None:
    path = export(model.network, tmp_path / "model.pt2", ExportOptions(num_detections=20, compile=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch._inductor.aoti_load_package(str(path))
    metadata = ModelMetadata.from_json(compiled.get_metadata()["centernet"], source=str(path))
    with zipfile.ZipFile(path) as archive:
        code = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".cpp"))
    assert b"omp parallel" in code and not re.search(rb"num_threads\(\d", code), "as many threads as it is told"
    images = trial_images(2, (96, 128))
    got = {name: value.numpy() for name, value in zip(metadata.outputs, compiled(images), strict=True)}
    found = difference(found_by(model, images), got)
    assert found.scores < 1e-4 and found.boxes < 0.05 and not found.unmatched


def test_without_a_compiler_the_message_says_so(
    model: CenterNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="C\\+\\+ compiler"):
        export(model.network, tmp_path / "model.pt2", ExportOptions(compile=True))
