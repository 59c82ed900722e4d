"""From YAML to a model, and what a person reads who mistypes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from centernet import build_centernet


def test_path_mapping_and_omegaconf_give_the_same_network(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**config, "trainer": {"max_epochs": 3}}))
    shapes = [
        {name: tuple(value.shape) for name, value in build_centernet(given).state_dict().items()}
        for given in (config, path)
    ]
    assert shapes[0] == shapes[1]
    omegaconf = pytest.importorskip("omegaconf")
    made = build_centernet(omegaconf.OmegaConf.create(config))
    assert {name: tuple(value.shape) for name, value in made.state_dict().items()} == shapes[0]


def test_the_mapping_is_left_alone(config: dict[str, Any]) -> None:
    before = copy.deepcopy(config)
    build_centernet(config, overrides=["model.class_names=[a, b]"])
    assert config == before


def test_overrides(config: dict[str, Any]) -> None:
    model = build_centernet(
        config, overrides=["model.class_names=null", "model.num_classes=7", "model.neck.init_args.width=24"]
    )
    assert model.num_classes == 7
    assert model.neck.out_channels == 24
    assert model.heads["heatmap"](model.neck([*map(_map, model.backbone.out_channels)])).shape[1] == 7


def _map(channels: int) -> Any:
    import torch

    size = {64: 16, 128: 8, 256: 4, 512: 2}[channels]
    return torch.zeros(1, channels, size, size)


def test_numbers_as_yaml_1_1_reads_them(config: dict[str, Any]) -> None:
    """PyYAML gives 1e-4 as a string."""
    model = build_centernet(config, overrides=["model.heads.heatmap.init_args.logit_clamp=1e-4"])
    assert model.heads["heatmap"].logit_clamp == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.neck.init_args.widht=3", ["model.neck", "widht"]),
        ("model.neck.class_path=FNP", ["model.neck", "FNP", "FPN", "SimpleNeck"]),
        ("model.backbone.class_path=Resnet", ["model.backbone", "Resnet", "ResNet", "MobileNetV2"]),
        ("model.backbone.init_args.name=resnet19", ["model.backbone", "resnet19"]),
        ("model.num_classes=many", ["model.num_classes", "many"]),
        ("model.num_classes=5", ["num_classes", "5", "class_names", "3"]),
        ("model.colour=red", ["colour"]),
        ("model.class_names=[a, a]", ["class_names", "twice"]),
        ("model.preprocessing.size=[0, 5]", ["size"]),
        ("model.neck.init_args.width", ["dotted.key=value"]),
        ("model.class_names.x.y=3", ["model.class_names"]),
    ],
)
def test_a_mistake_is_named(config: dict[str, Any], override: str, said: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        build_centernet(config, overrides=[override])
    for word in said:
        assert word in str(error.value), f"{word!r} is not in: {error.value}"


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.yaml"):
        build_centernet(tmp_path / "missing.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(ValueError, match=r"list\.yaml"):
        build_centernet(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("model: {a: [\n")
    with pytest.raises(ValueError, match=r"broken\.yaml"):
        build_centernet(tmp_path / "broken.yaml")
    (tmp_path / "unsafe.yaml").write_text("model: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ValueError, match=r"unsafe\.yaml"):
        build_centernet(tmp_path / "unsafe.yaml")
    (tmp_path / "other.yaml").write_text("data: {}\n")
    with pytest.raises(ValueError, match="`model` section"):
        build_centernet(tmp_path / "other.yaml")


def test_a_detector_needs_one_head_that_finds_peaks(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="HeatmapHead"):
        build_centernet(config, overrides=["model.heads.heatmap={class_path: LTRBHead}"])
