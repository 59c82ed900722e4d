"""`.pt2` files: which kind one is, and what is refused before it runs. Real ones are in test_runtimes.py."""

from __future__ import annotations

import json
import platform
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from centernet.images import Preprocessing
from centernet.inference import Detector
from centernet.inference.model_metadata import ModelMetadata

METADATA = ModelMetadata(class_names=("cat",), preprocessing=Preprocessing((64, 96)), num_detections=3)
HERE = {
    "centernet": METADATA.to_json(),
    "AOTI_DEVICE_KEY": "cpu",
    "AOTI_PLATFORM": sys.platform,
    "AOTI_MACHINE": platform.machine(),
}


def package(path: Path, said: Any = HERE, code: bytes = b"no machine code") -> Path:
    """An archive as AOTInductor lays them out, but for the code."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/aotinductor/model/c0de.wrapper.so", code)
        archive.writestr("model/data/aotinductor/model/c0de.wrapper_metadata.json", json.dumps(said))
        archive.writestr("model/archive_format", "pt2")
        archive.writestr("model/archive_version", "0")
    return path


class Corners(nn.Module):
    """As many boxes as rows of the metadata, each the whole input; the score is the mean brightness."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n, (height, width) = images.shape[0], images.shape[1:3]
        boxes = torch.tensor([0.0, 0.0, width, height]).expand(n, 3, 4).clone()
        scores = images.float().mean((1, 2, 3))[:, None].expand(n, 3) / 255
        return boxes, torch.zeros(n, 3, dtype=torch.int64), scores.clone()


def program(path: Path, preprocessing: Preprocessing) -> Path:
    images = torch.zeros(2, *preprocessing.size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(Corners(), (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        metadata = ModelMetadata(class_names=("cat",), preprocessing=preprocessing, num_detections=3)
        torch.export.save(exported, path, extra_files={"centernet.json": metadata.to_json()})
    return path


def test_a_program_runs_on_pictures_that_become_its_size(tmp_path: Path) -> None:
    detector = Detector(program(tmp_path / "model.pt2", Preprocessing((64, 96), resize="stretch")))
    found = detector([np.full((30, 50, 3), 204, np.uint8), np.full((128, 192, 3), 102, np.uint8)])
    np.testing.assert_allclose([one.bboxes[0] for one in found], [[0, 0, 50, 30], [0, 0, 192, 128]])
    np.testing.assert_allclose([one.scores[0] for one in found], [0.8, 0.4], atol=1e-6)


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    detector = Detector(program(tmp_path / "model.pt2", Preprocessing((64, 96), resize="keep")))
    assert len(detector(np.full((60, 90, 3), 204, np.uint8))) == 3  # padded to multiples of 32
    with pytest.raises(ValueError, match=r"model\.pt2: takes inputs of 64×96 pixels .* got 96×96"):
        detector(np.full((70, 90, 3), 204, np.uint8))


@pytest.mark.parametrize("key", ["AOTI_PLATFORM", "AOTI_MACHINE"])
def test_a_package_of_another_machine_is_refused(key: str, tmp_path: Path) -> None:
    path = package(tmp_path / "model.pt2", HERE | {key: "abacus"})
    with pytest.raises(ValueError, match=rf"model\.pt2: was compiled for another machine .*abacus.*{sys.platform}"):
        Detector(path, trust=True)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="about processors of the kind x86")
def test_a_package_for_instructions_that_are_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import cpu_vec_isa

    monkeypatch.setattr(cpu_vec_isa, "x86_isa_checker", lambda: ["avx2", "avx512"])
    path = package(tmp_path / "model.pt2", HERE | {"AOTI_CPU_ISA": "AVX512 AVX512_VNNI"})
    with pytest.raises(ValueError, match=r"another machine .*this processor has no AVX512_VNNI"):
        Detector(path, trust=True)
    path = package(tmp_path / "model.pt2", HERE | {"AOTI_CPU_ISA": "AVX2"})
    with pytest.raises(ValueError, match="cannot be opened as a package of AOTInductor"):  # there is no code in it
        Detector(path, trust=True)


def test_a_package_is_bound_to_its_device(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"compiled for the device 'cpu' and cannot run on 'cuda:0'|device 'cuda:0': .* no such device"
    ):
        Detector(package(tmp_path / "model.pt2"), device="cuda:0", trust=True)


def test_a_foreign_package_is_named(tmp_path: Path) -> None:
    path = package(tmp_path / "model.pt2", {"AOTI_DEVICE_KEY": "cpu"})
    with pytest.raises(ValueError, match=r"model\.pt2: .* another program wrote it"):
        Detector(path, trust=True)
    path = package(tmp_path / "model.pt2", HERE | {"centernet": "{}"})
    with pytest.raises(ValueError, match=r"model\.pt2: the metadata"):
        Detector(path, trust=True)


def test_code_in_which_a_bit_has_changed_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda *_: pytest.fail("the code was run"))
    content = package(tmp_path / "model.pt2", code=b"machine code" * 99).read_bytes()
    path = tmp_path / "changed.pt2"
    path.write_bytes(content.replace(b"machine code", b"machine cOde", 1))
    with pytest.raises(ValueError, match=r"changed\.pt2: cannot be opened .*wrapper\.so is damaged"):
        Detector(path, trust=True)
    for share in (0.3, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=r"changed\.pt2: cannot be opened .* is the file whole"):
            Detector(path, trust=True)


@pytest.mark.parametrize("said", [[], "cpu", None])
def test_a_package_that_says_nothing_sensible_is_refused(said: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.pt2: cannot be opened .* is the file whole"):
        Detector(package(tmp_path / "model.pt2", said), trust=True)
