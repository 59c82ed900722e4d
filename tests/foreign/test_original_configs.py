"""The configurations of the original recipes describe the networks of its published files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from centernet import build_centernet
from centernet.configuration import plain
from centernet.foreign import open_foreign
from centernet.training import start_from
from tests.foreign import published

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NETWORKS = {
    "coco_resnet18_dcn_original": "centernet_resdcn_18",
    "coco_dla34_original": "centernet_dla_34",
    "coco_hourglass_original": "centernet_hourglass",
}


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow) if "hourglass" in name else name for name in NETWORKS
])  # fmt: skip
def test_a_converted_file_fits_wholly(name: str, shared: Path, tmp_path: Path) -> None:
    keys = published.description(shared, NETWORKS[name])["keys"]
    torch.save({key: torch.zeros(shape) for key, shape in keys.items()}, tmp_path / "weights.pth")
    converted = open_foreign(tmp_path / "weights.pth").network
    network = build_centernet(
        str(CONFIGS / f"{name}.yaml"), overrides=["model.backbone.init_args.pretrained=false"]
    ).network
    network.class_names = converted.class_names
    shapes, expected = ({k: tuple(v.shape) for k, v in one.state_dict().items()} for one in (network, converted))
    assert shapes == expected
    assert plain(network.preprocessing) == plain(converted.preprocessing)
    if "hourglass" not in name:
        from centernet.network.weights import save_network

        save_network(converted, tmp_path / "folder")
        assert start_from(network, tmp_path / "folder") == []
