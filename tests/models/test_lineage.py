"""The lineage of weights on its way: start, checkpoint, folder, exported file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from centernet import CenterNet, Detector, build_centernet
from centernet.cli.main import main
from centernet.lineage import Lineage, licence_text
from centernet.training import start_from

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "UserWarning")]

PUBLIC = Lineage(
    name="public",
    sources=("https://example.org/public",),
    licence="Apache-2.0",
    notices=("Copyright somebody",),
    limits=("Never evaluate it on the test set.",),
    started_from=Lineage(name="older", licence="BSD-3-Clause"),
)
MODEL: dict[str, Any] = {
    "num_classes": 6,
    "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
    "neck": {"class_path": "FPN", "init_args": {"width": 8}},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
        "box": {"class_path": "LTRBHead", "init_args": {"width": 8}},
    },
    "preprocessing": {"size": [64, 64]},
}


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of this lineage."""
    model = build_centernet({"model": MODEL})
    model.lineage = PUBLIC
    return model.save_pretrained(tmp_path_factory.mktemp("lineage") / "public")


@pytest.fixture(scope="module")
def trained(public: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a training that started from it, and was stopped and resumed."""
    folder = tmp_path_factory.mktemp("run")
    scenes = {"class_path": "Synthetic", "init_args": {"num_images": 2, "size": [64, 64]}}
    trainer = {"max_epochs": 1, "accelerator": "cpu", "precision": "32-true", "num_sanity_val_steps": 0}
    data = {"train": scenes, "val": scenes, "batch_size": 2, "num_workers": 0}
    content = {"model": MODEL, "data": data, "trainer": trainer, "log_images": {"every_n_epochs": 0}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    common = ["fit", "--config", str(folder / "tiny.yaml"), "--output", str(folder)]
    assert main([*common, "--start_from", str(public)]) == 0
    (first,) = folder.rglob("last.ckpt")
    assert main([*common, "--ckpt_path", str(first), "--trainer.max_epochs", "2"]) == 0
    return max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)


def test_it_travels_from_the_start_to_every_file(trained: Path, tmp_path: Path) -> None:
    expected = Lineage(started_from=PUBLIC)
    model = CenterNet.load_from_checkpoint(trained)
    assert model.lineage == expected
    folder = model.save_pretrained(tmp_path / "mine")
    model.to_torchscript(tmp_path / "model.pt")
    files: list[Path] = [trained, folder, tmp_path / "model.pt"]
    try:
        files.append(model.to_onnx(tmp_path / "model.onnx"))
    except ImportError as error:
        print(error)  # without the extra there is no such file
    for file in files:
        assert Detector(file).lineage == expected, file
    again = build_centernet({"model": MODEL})
    start_from(again.network, trained)
    assert again.lineage == expected  # a checkpoint between is no step
    start_from(again.network, folder)
    assert [step.name for step in again.lineage.steps] == ["", "mine", "public", "older"]


def test_the_card_says_it_until_somebody_writes_another(trained: Path, tmp_path: Path) -> None:
    model = CenterNet.load_from_checkpoint(trained)
    card = model.save_pretrained(tmp_path) / "README.md"
    text = card.read_text(encoding="utf-8")
    header = yaml.safe_load(text.split("---")[1])
    assert header == {
        "library_name": "centernet",
        "pipeline_tag": "object-detection",
    }
    for words in ("public", "Copyright somebody", "Never evaluate it on the test set.", "BSD-3-Clause", "64×64"):
        assert words in text
    assert (tmp_path / "LICENSE-Apache-2.0.txt").read_text(encoding="utf-8") == licence_text("Apache-2.0")
    model.lineage = Lineage(name="cells", licence="MIT", started_from=PUBLIC)
    model.save_pretrained(tmp_path)
    text = card.read_text(encoding="utf-8")
    assert "# cells" in text and "license: mit" in text
    card.write_text("of my own", encoding="utf-8")
    model.save_pretrained(tmp_path)
    assert card.read_text(encoding="utf-8") == "of my own"


def test_weights_of_a_backbone_are_a_start(tmp_path: Path) -> None:
    weights = tmp_path / "shapes.pth"
    backbone = {"class_path": "ResNet", "init_args": {**MODEL["backbone"]["init_args"], "weights": str(weights)}}
    torch.save(build_centernet({"model": MODEL}).backbone.state_dict(), weights)
    model = build_centernet({"model": {**MODEL, "backbone": backbone}})
    assert model.lineage == Lineage(started_from=Lineage(name="shapes.pth"))
    assert build_centernet({"model": MODEL}).lineage is None


def test_a_model_without_one_travels_too(tmp_path: Path) -> None:
    model = build_centernet({"model": MODEL})
    folder = model.save_pretrained(tmp_path / "bare")
    assert "lineage" not in yaml.safe_load((folder / "config.yaml").read_text())
    assert Detector(folder).lineage is None
    model.to_torchscript(tmp_path / "bare.pt")
    assert Detector(tmp_path / "bare.pt").lineage is None
    start_from(model.network, folder)
    assert model.lineage == Lineage(started_from=Lineage(name="bare"))


def test_a_damaged_one_is_named(public: Path, tmp_path: Path) -> None:
    for file in public.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = yaml.safe_load((tmp_path / "config.yaml").read_text())
    content["lineage"]["licence"] = 2.0
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"config\.yaml: lineage\.licence: expected a text, got '2\.0'"):
        CenterNet.from_pretrained(tmp_path)
