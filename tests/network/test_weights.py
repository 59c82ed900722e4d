"""The model in the box, and folders of one's own."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from centernet import CenterNet, Detector, packaged
from centernet.cli.main import main
from centernet.images import read_image
from centernet.network.weights import PACKAGED, packaged_models


@pytest.fixture(scope="module")
def portrait() -> Path:
    """Matplotlib's sample photograph: a woman in uniform, from the waist up, before a flag."""
    matplotlib = pytest.importorskip("matplotlib")
    return Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def test_it_finds_the_person_in_a_photograph(portrait: Path) -> None:
    found = Detector("voc-lite")(portrait)
    assert found.names[0] == "person" and found.scores[0] > 0.5
    height, width = read_image(portrait).shape[:2]
    x1, y1, x2, y2 = found.bboxes[0]
    assert x1 < 0.15 * width and x2 > 0.85 * width and y1 < 0.25 * height and y2 > 0.8 * height


def test_detect_needs_no_model_or_network(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(portrait), "--output", str(tmp_path / "found")]) == 0
    assert "person" in capsys.readouterr().out
    assert (tmp_path / "found" / "detections.json").is_file()


@pytest.mark.parametrize("name", packaged_models())
def test_the_card_says_what_is_in_the_file(name: str) -> None:
    folder = PACKAGED / name
    weights = folder / "model.safetensors"
    assert weights.stat().st_size <= (10e6 if name == "person-pose" else 8e6)
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in (folder / "README.md").read_text(encoding="utf-8")
    assert CenterNet.from_pretrained(name).class_names


def test_a_folder_of_ones_own(model: CenterNet, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "mine")
    loaded = CenterNet.from_pretrained(tmp_path / "mine")
    assert loaded.class_names == model.class_names and loaded.preprocessing == model.preprocessing
    for key, value in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            stored = value.half().float() if value.ndim > 1 else value
            torch.testing.assert_close(loaded.state_dict()[key], stored)
    image = np.full((40, 60, 3), 128, np.uint8)
    assert len(Detector(tmp_path / "mine", score_threshold=0.0)(image)) == 100


def test_what_is_no_model_is_named(model: CenterNet, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="voc-lite"):
        CenterNet.from_pretrained("voc-light")
    model.save_pretrained(tmp_path / "mine")
    weights = load_file(tmp_path / "mine" / "model.safetensors")
    del weights["backbone.conv1.weight"]
    save_file(weights, tmp_path / "mine" / "model.safetensors")
    with pytest.raises(ValueError, match=r"backbone\.conv1\.weight"):
        CenterNet.from_pretrained(tmp_path / "mine")


def test_a_model_that_was_not_configured_has_nothing_to_save(model: CenterNet, tmp_path: Path) -> None:
    from functools import partial

    from centernet.models import backbones, heads, necks

    bare = CenterNet(
        backbones.MobileNetV3("small"),
        partial(necks.FPN, width=8),
        {"heatmap": heads.HeatmapHead, "box": heads.LTRBHead},
        num_classes=1,
    )
    with pytest.raises(ValueError, match="configuration"):
        bare.save_pretrained(tmp_path)


class Hub:
    """Stands in for huggingface_hub: repositories are folders."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def HfApi(self, token: str | None) -> Hub:
        return self

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def file_exists(self, repo_id: str, filename: str) -> bool:
        return (self.root / repo_id / filename).is_file()

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        for file in Path(folder_path).iterdir():
            (self.root / repo_id / file.name).write_bytes(file.read_bytes())
        return f"hub/{repo_id}/commit/1"

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        if not (self.root / repo_id).is_dir():
            raise ConnectionError("repository not found")
        return str(self.root / repo_id)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    stand_in = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)  # type: ignore[arg-type]
    return stand_in


def test_a_model_goes_to_the_hub_and_comes_back(model: CenterNet, hub: Hub) -> None:
    assert model.push_to_hub("somebody/cells", private=True) == "hub/somebody/cells/commit/1"
    card = hub.root / "somebody" / "cells" / "README.md"
    assert "cat, dog, bird" in card.read_text(encoding="utf-8")
    card.write_text("of my own", encoding="utf-8")
    model.push_to_hub("somebody/cells")
    assert card.read_text(encoding="utf-8") == "of my own"
    again = CenterNet.from_pretrained("somebody/cells")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for name, value in model.eval()(images).items():
            torch.testing.assert_close(again(images)[name], value, rtol=0.02, atol=0.02)  # half precision


def test_what_the_hub_has_not_is_said(hub: Hub) -> None:
    with pytest.raises(FileNotFoundError, match=r"somebody/none: .*repository not found.*voc-lite"):
        CenterNet.from_pretrained("somebody/none")
    (hub.root / "somebody" / "other").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"somebody/other: the repository has no config\.yaml"):
        CenterNet.from_pretrained("somebody/other")


def test_the_hub_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"pip install 'centernet\[hub\]'"):
        CenterNet.from_pretrained("somebody/cells")


def test_files_of_the_package_are_those_that_were_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in packaged_models():
        for file in sorted((PACKAGED / name).iterdir()):
            packaged.check_packaged(file)  # else: sha256sum */* > SHA256SUMS in the folder of the weights
    copy = tmp_path / "weights"
    shutil.copytree(PACKAGED, copy)
    monkeypatch.setattr(packaged, "PACKAGED", copy)
    file = copy / "voc-lite" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(ValueError, match="is not the file that was published"):
        packaged.check_packaged(file)
    (copy / "new.onnx").touch()
    with pytest.raises(ValueError, match="is not the file that was published"):
        packaged.check_packaged(copy / "new.onnx")


@pytest.mark.parametrize("value", [1e5, float("inf"), float("nan")])
def test_values_that_the_file_cannot_hold_are_refused(value: float, tmp_path: Path) -> None:
    model = CenterNet.from_pretrained("voc-lite")
    with torch.no_grad():
        next(p for p in model.parameters() if p.ndim > 1)[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"has values up to .* the model is not saved"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
